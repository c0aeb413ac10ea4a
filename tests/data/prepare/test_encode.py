"""What write_video wrote, as PyAV reads it back."""

from fractions import Fraction

import av
import numpy as np
import pytest

from nlvideo.data.prepare.encode import write_video


def ramp(num_frames=20, height=48, width=64):
    """Frames [T, H, W, 3] of one grey each, 10 levels apart, so that pixels tell a frame's number."""
    greys = (20 + 10 * np.arange(num_frames)).astype(np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (num_frames, height, width, 3))


def test_frames_come_back_in_order_with_size_rate_and_keyframes(tmp_path):
    frames = ramp()
    write_video(tmp_path / "a.mp4", frames, 16, gop=8)
    with av.open(tmp_path / "a.mp4") as container:
        stream = container.streams.video[0]
        decoded = list(container.decode(stream))
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 16
    assert [frame.time for frame in decoded] == [index / 16 for index in range(20)]
    assert [index for index, frame in enumerate(decoded) if frame.key_frame] == [0, 8, 16]
    pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])
    assert pixels.shape == frames.shape
    np.testing.assert_allclose(pixels, frames, atol=3)


def test_channels_keep_their_order(tmp_path):
    # A block of 16 pixels a colour, as large as a macroblock: chroma has half the resolution of luma.
    colours = np.array([[220, 50, 47], [60, 180, 75], [60, 100, 230], [240, 210, 50]], np.uint8)
    frame = np.repeat(np.repeat(colours[None], 16, axis=1), 32, axis=0)  # [32, 64, 3]
    write_video(tmp_path / "a.mp4", [frame] * 4, 16)
    with av.open(tmp_path / "a.mp4") as container:
        decoded = next(container.decode(video=0)).to_ndarray(format="rgb24")
    np.testing.assert_allclose(decoded[16, 8::16], colours, atol=6)


def test_fractional_rates_other_containers_and_iterators(tmp_path):
    write_video(tmp_path / "a.avi", iter(ramp(5)), 30000 / 1001)
    with av.open(tmp_path / "a.avi") as container:
        assert "avi" in container.format.name
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)
        assert len(list(container.decode(video=0))) == 5


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (ramp()[..., :1], "expected RGB"),
        (ramp().astype(np.float32), "float32 .* expected RGB"),
        (ramp(height=47), "47 x 64 .* even"),
        (ramp(0), "no frames"),
        ([*ramp(2), *ramp(1, 16, 16)], "frame 2 is .* expected frames of one size"),
    ],
)
def test_bad_frames_leave_nothing_behind(tmp_path, frames, message):
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / "a.mp4", frames, 16)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_rewrite_keeps_the_file_that_was_there(tmp_path):
    def breaks_off():
        yield from ramp(3)
        raise RuntimeError("the source broke off")

    write_video(tmp_path / "a.mp4", ramp(), 16)
    before = (tmp_path / "a.mp4").read_bytes()
    with pytest.raises(RuntimeError, match="broke off"):
        write_video(tmp_path / "a.mp4", breaks_off(), 16)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == before
