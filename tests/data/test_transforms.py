"""Where the pixels of a transformed clip come from."""

import pytest
import torch

from nlvideo.data.transforms import resize_short_side, train_transform, uniform_crops

HEIGHT, WIDTH = 40, 60


def coordinates(num_frames=4, height=HEIGHT, width=WIDTH):
    """uint8 [T, 3, H, W]: a pixel holds its row, its column and its frame's number."""
    frames = torch.zeros(num_frames, 3, height, width, dtype=torch.uint8)
    frames[:, 0] = torch.arange(height)[:, None]
    frames[:, 1] = torch.arange(width)
    frames[:, 2] = torch.arange(num_frames)[:, None, None]
    return frames


def test_three_crops_stand_at_both_ends_and_in_the_middle_of_the_longer_side():
    crops = uniform_crops(coordinates(), 32, 3)  # (3, T, 3, 32, 32)
    assert crops.shape == (3, 4, 3, 32, 32)
    assert crops[:, 0, 1, 0, 0].tolist() == [0, 14, 28]  # first column
    assert crops[:, 0, 0, 0, 0].tolist() == [4, 4, 4]  # first row
    crops = uniform_crops(coordinates(height=WIDTH, width=HEIGHT), 32, 3)
    assert crops[:, 0, 0, 0, 0].tolist() == [0, 14, 28]
    assert crops[:, 0, 1, 0, 0].tolist() == [4, 4, 4]


def test_one_crop_is_the_centre():
    crop = uniform_crops(coordinates(), 32, 1)
    assert (crop[0, 0, 0, 0, 0].item(), crop[0, 0, 1, 0, 0].item()) == (4, 14)


def test_a_frame_smaller_than_the_crop_is_padded_with_its_edge():
    crop = uniform_crops(coordinates(height=10, width=20), 32, 1)[0, 0]
    assert crop.shape == (3, 32, 32)
    assert crop[0, :, 0].tolist() == [0] * 11 + list(range(10)) + [9] * 11


def test_the_short_side_is_resized_and_uint8_is_kept():
    resized = resize_short_side(coordinates(), 20)
    assert (resized.shape, resized.dtype) == ((4, 3, 20, 30), torch.uint8)
    assert resize_short_side(coordinates(), None).shape == (4, 3, HEIGHT, WIDTH)


def test_crop_and_flip_are_drawn_once_a_clip_and_reach_everything():
    transform = train_transform(32, short_side=None, shift=0, flip=True)
    torch.manual_seed(0)
    corners, flips = set(), set()
    for _ in range(400):
        clip = transform(coordinates())
        assert (clip.shape, clip.dtype) == ((4, 3, 32, 32), torch.uint8)
        assert clip[:, 2, 0, 0].tolist() == [0, 1, 2, 3]
        assert (clip[:, :2] == clip[0, :2]).all(), "frames of one clip were cut or flipped differently"
        columns = clip[0, 1, 0].tolist()
        flips.add(columns[0] > columns[-1])
        corners.add((clip[0, 0, 0, 0].item(), min(columns)))
    assert flips == {True, False}
    assert {row for row, _ in corners} == set(range(HEIGHT - 32 + 1))
    assert {column for _, column in corners} == set(range(WIDTH - 32 + 1))


def test_without_flip_nothing_is_mirrored():
    transform = train_transform(32, short_side=None, shift=0, flip=False)
    torch.manual_seed(0)
    for _ in range(20):
        columns = transform(coordinates())[0, 1, 0]
        assert (columns.diff() == 1).all()


def test_shift_moves_the_frame_by_up_to_that_many_pixels():
    transform = train_transform(HEIGHT, short_side=None, shift=3, flip=False)
    torch.manual_seed(0)
    first_rows = {transform(coordinates(width=HEIGHT))[0, 0, :, 5].tolist().count(0) - 1 for _ in range(200)}
    assert first_rows == {-1, 0, 1, 2, 3}  # rows repeated above the frame; -1: its first row is cut off


@pytest.mark.parametrize("short_side", [(48, 64)])
def test_scale_jitter_draws_every_short_side(short_side):
    """The picture is one ramp from 0 to 255 down its height, so the slope in the crop tells its size."""
    ramp = torch.linspace(0, 255, 100).round().to(torch.uint8)[:, None].expand(4, 3, 100, 150)
    transform = train_transform(32, short_side=short_side, shift=0, flip=False)
    torch.manual_seed(0)
    slopes = torch.stack([transform(ramp)[0, 0, 4:-4, 0].float().diff().mean() for _ in range(60)])
    sizes = 255 / slopes
    assert sizes.min() > 46 and sizes.max() < 67
    assert sizes.max() - sizes.min() > 12
