"""Where the pixels of a transformed clip come from."""

import pytest
import torch
from torchvision.transforms.v2 import functional as F

from nlvideo.data.mixup import mix_batch
from nlvideo.data.train_dataset import Clips
from nlvideo.data.transforms import Augment, JitteredCrop, resize_short_side, train_transform

HEIGHT, WIDTH = 40, 60


def coordinates(num_frames=4, height=HEIGHT, width=WIDTH):
    """uint8 [T, 3, H, W]: a pixel holds its row, its column and its frame's number."""
    frames = torch.zeros(num_frames, 3, height, width, dtype=torch.uint8)
    frames[:, 0] = torch.arange(height)[:, None]
    frames[:, 1] = torch.arange(width)
    frames[:, 2] = torch.arange(num_frames)[:, None, None]
    return frames


def test_the_short_side_is_resized_and_uint8_is_kept():
    resized = resize_short_side(coordinates(), 20)
    assert (resized.shape, resized.dtype) == ((4, 3, 20, 30), torch.uint8)
    assert resize_short_side(coordinates(), None).shape == (4, 3, HEIGHT, WIDTH)


def test_the_crop_is_drawn_once_a_clip_and_reaches_everything():
    transform = train_transform(32, short_side=None)
    torch.manual_seed(0)
    rows, columns = set(), set()
    for _ in range(300):
        clip = transform(coordinates())
        assert (clip.shape, clip.dtype) == ((4, 3, 32, 32), torch.uint8)
        assert clip[:, 2, 0, 0].tolist() == [0, 1, 2, 3]
        assert (clip[:, :2] == clip[0, :2]).all(), "frames of one clip were cut differently"
        rows.add(clip[0, 0, 0, 0].item())
        columns.add(clip[0, 1, 0, 0].item())
    assert rows == set(range(HEIGHT - 32 + 1))
    assert columns == set(range(WIDTH - 32 + 1))


def test_shift_moves_the_frame_by_up_to_that_many_pixels():
    transform = train_transform(HEIGHT, short_side=None, crop_padding=3)
    torch.manual_seed(0)
    first_rows = {transform(coordinates(width=HEIGHT))[0, 0, :, 5].tolist().count(0) - 1 for _ in range(200)}
    assert first_rows == {-1, 0, 1, 2, 3}  # rows repeated above the frame; -1: its first row is cut off


RAMP = torch.linspace(0, 255, 100).round().to(torch.uint8)[:, None].expand(4, 3, 100, 150)  # from top to bottom


@pytest.mark.parametrize(("inverse", "mean"), [(False, 60), (True, 55.5)])
def test_scale_jitter_draws_every_short_side(inverse, mean):
    """The slope of the ramp in the crop tells the size that the whole frame would have."""
    transform = train_transform(32, short_side=(40, 80), augment=Augment(inverse_jitter=inverse))
    torch.manual_seed(0)
    slopes = torch.stack([transform(RAMP)[0, 0, 4:-4, 0].float().diff().mean() for _ in range(300)])
    sizes = 255 / slopes
    assert sizes.min() == pytest.approx(40, abs=2)
    assert sizes.max() == pytest.approx(80, abs=3)
    assert sizes.mean() == pytest.approx(mean, abs=1.5)


def test_cutting_before_resizing_gives_what_resizing_before_cutting_gives():
    torch.manual_seed(0)
    frames = F.gaussian_blur(torch.randint(0, 256, (2, 3, 60, 90), dtype=torch.uint8), [9, 9])
    crop = JitteredCrop(40, (50, 50))(frames)
    resized = F.resize(frames, [50], antialias=True).float()
    distance = min(
        (resized[..., top : top + 40, left : left + 40] - crop.float()).abs().mean()
        for top in range(11)
        for left in range(36)
    )
    assert distance < 1.5


@pytest.mark.parametrize(
    "augment",
    [
        Augment(random_resized_crop_scale=(0.1, 1.0)),
        Augment(rand_augment=9),
        Augment(color_jitter=0.4),
        Augment(erasing=1.0),
    ],
)
def test_augmentations_change_all_frames_of_a_clip_alike(augment):
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8).expand(4, 3, 64, 64)
    clips = [train_transform(48, short_side=(48, 64), augment=augment)(frames) for _ in range(6)]
    for clip in clips:
        assert (clip.shape, clip.dtype) == ((4, 3, 48, 48), torch.uint8)
        assert (clip == clip[0]).all()
    assert not all(torch.equal(clip, clips[0]) for clip in clips)
    if augment.erasing:
        assert all((clip == 0).all(dim=1).float().mean() > 0.015 for clip in clips)


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
