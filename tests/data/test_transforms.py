"""Where the pixels of a transformed clip come from."""

import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from nlvideo.data.clips import Clips, mix_batch
from nlvideo.data.reading import read_training_clips
from nlvideo.data.sampling import ClipSampling
from nlvideo.data.transforms import Augment, JitteredCrop, RandomCrop, color_augmentation, resize_short_side, train_crop
from nlvideo.data.video import Box

HEIGHT, WIDTH = 40, 60


def coordinates(num_frames=4, height=HEIGHT, width=WIDTH):
    """uint8 [T, 3, H, W]: a pixel holds its row, its column and its frame's number."""
    frames = torch.zeros(num_frames, 3, height, width, dtype=torch.uint8)
    frames[:, 0] = torch.arange(height)[:, None]
    frames[:, 1] = torch.arange(width)
    frames[:, 2] = torch.arange(num_frames)[:, None, None]
    return frames


@pytest.fixture
def cropped(monkeypatch):
    """cropped(crop, frames): the clip that a training data set makes of a video with these frames."""

    class Video:
        fps = 30.0

        def __init__(self, frames, decoder):
            self.stored = frames
            self.num_frames, _, self.height, self.width = frames.shape

        def frames(self, indices, box):
            top, left, height, width = box
            assert 0 <= top < top + height <= self.height
            assert 0 <= left < left + width <= self.width
            return self.stored[torch.from_numpy(indices)][..., top : top + height, left : left + width]

    monkeypatch.setattr("nlvideo.data.reading.Video", Video)

    def read(crop, frames):
        (part,), (box,) = read_training_clips(frames, sampling=ClipSampling(len(frames), 1), crop=crop)
        return crop(part, box)

    return read


def test_the_short_side_is_resized_and_uint8_is_kept():
    resized = resize_short_side(coordinates(), 20)
    assert (resized.shape, resized.dtype) == ((4, 3, 20, 30), torch.uint8)
    assert resize_short_side(coordinates(), None).shape == (4, 3, HEIGHT, WIDTH)


def test_the_crop_is_drawn_once_a_clip_and_reaches_everything(cropped):
    torch.manual_seed(0)
    rows, columns = set(), set()
    for _ in range(300):
        clip = cropped(RandomCrop(32), coordinates())
        assert (clip.shape, clip.dtype) == ((4, 3, 32, 32), torch.uint8)
        assert clip[:, 2, 0, 0].tolist() == [0, 1, 2, 3]
        assert (clip[:, :2] == clip[0, :2]).all(), "frames of one clip were cut differently"
        rows.add(clip[0, 0, 0, 0].item())
        columns.add(clip[0, 1, 0, 0].item())
    assert rows == set(range(HEIGHT - 32 + 1))
    assert columns == set(range(WIDTH - 32 + 1))


@pytest.mark.parametrize(("crop", "padding"), [(32, 0), (32, 3), (40, 3), (48, 3), (70, 0), (20, 30)])
def test_only_the_pixels_of_a_crop_are_read_and_they_are_torchvisions(cropped, crop, padding):
    whole = v2.RandomCrop(crop, padding=padding or None, pad_if_needed=True, padding_mode="edge")
    for seed in range(40):
        torch.manual_seed(seed)
        clip = cropped(RandomCrop(crop, padding), coordinates())
        torch.manual_seed(seed)
        torch.rand(1, 4)  # the draws of the clip
        assert torch.equal(clip, whole(coordinates()))


def test_shift_moves_the_frame_by_up_to_that_many_pixels(cropped):
    torch.manual_seed(0)
    crop, frames = RandomCrop(HEIGHT, 3), coordinates(width=HEIGHT)
    first_rows = {cropped(crop, frames)[0, 0, :, 5].tolist().count(0) - 1 for _ in range(200)}
    assert first_rows == {-1, 0, 1, 2, 3}  # rows repeated above the frame; -1: its first row is cut off


RAMP = torch.linspace(0, 255, 100).round().to(torch.uint8)[:, None].expand(4, 3, 100, 150)  # from top to bottom


@pytest.mark.parametrize(("inverse", "mean"), [(False, 60), (True, 55.5)])
def test_scale_jitter_draws_every_short_side(cropped, inverse, mean):
    """The slope of the ramp in the crop tells the size that the whole frame would have."""
    crop = train_crop(32, short_side=(40, 80), augment=Augment(inverse_jitter=inverse))
    torch.manual_seed(0)
    slopes = torch.stack([cropped(crop, RAMP)[0, 0, 4:-4, 0].float().diff().mean() for _ in range(300)])
    sizes = 255 / slopes
    assert sizes.min() == pytest.approx(40, abs=2)
    assert sizes.max() == pytest.approx(80, abs=3)
    assert sizes.mean() == pytest.approx(mean, abs=1.5)


def test_cutting_before_resizing_gives_what_resizing_before_cutting_gives():
    torch.manual_seed(0)
    frames = F.gaussian_blur(torch.randint(0, 256, (2, 3, 60, 90), dtype=torch.uint8), [9, 9])
    crop = JitteredCrop(40, (50, 50))
    assert crop.draw(60, 90)[2:] == (48, 48)
    cut = crop(frames[..., 12:60, 6:54], Box(12, 6, 48, 48))  # whole pixels after the resize to 50 x 75 too
    resized = F.resize(frames, [50], antialias=True)[..., 10:50, 5:45]
    assert (cut.float() - resized.float()).abs().mean() < 0.05


@pytest.mark.parametrize(
    "augment",
    [
        Augment(random_resized_crop_scale=(0.1, 1.0)),
        Augment(rand_augment=9),
        Augment(color_jitter=0.4),
        Augment(erasing=1.0),
    ],
)
def test_augmentations_change_all_frames_of_a_clip_alike(cropped, augment):
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8).expand(4, 3, 64, 64)
    crop, transform = train_crop(48, short_side=(48, 64), augment=augment), color_augmentation(augment)
    clips = [transform(cropped(crop, frames)) for _ in range(6)]
    for clip in clips:
        assert (clip.shape, clip.dtype) == ((4, 3, 48, 48), torch.uint8)
        assert (clip == clip[0]).all()
    assert not all(torch.equal(clip, clips[0]) for clip in clips)
    if augment.erasing:
        assert all((clip == 0).all(dim=1).float().mean() > 0.015 for clip in clips)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixup": -0.2}, r"data\.augment\.mixup: expected 0 \(off\) to 1e\+06, got -0\.2"),
        ({"cutmix": float("nan")}, r"data\.augment\.cutmix: expected 0"),
        ({"erasing": 1.5}, r"data\.augment\.erasing: expected 0 \(off\) to 1, got 1\.5"),
        ({"rand_augment": 31}, r"data\.augment\.rand_augment: expected 0 \(off\) to 30, got 31"),
        ({"color_jitter": -1}, r"data\.augment\.color_jitter: expected 0 \(off\) to 1, got -1"),
        ({"random_resized_crop_scale": (0.5, 0.1)}, r"random_resized_crop_scale: expected two rising parts"),
    ],
)
def test_augmentations_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Augment(**options)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0)])
def test_labels_are_mixed_as_the_pixels_are(mixup, cutmix):
    video = torch.stack([torch.full((1, 3, 2, 16, 16), grey, dtype=torch.uint8) for grey in (0, 200)])
    torch.manual_seed(0)
    clips = mix_batch(Clips(video, torch.tensor([0, 1]), torch.tensor([5, 6])), 3, mixup=mixup, cutmix=cutmix)
    assert (clips.video.shape, clips.video.dtype) == (video.shape, torch.uint8)
    assert clips.index.tolist() == [5, 6]
    for mixed, label in zip(clips.video, clips.label, strict=True):
        assert label.sum() == pytest.approx(1)
        assert mixed.float().mean() / 200 == pytest.approx(label[1].item(), abs=0.01)
        assert (mixed == mixed[:, :, :1]).all(), "frames of one clip were mixed differently"
