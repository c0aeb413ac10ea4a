"""Which frames of a video make a clip. Pure arithmetic on frame numbers.

    a clip of 4 frames with stride 3 from frame 5        . . . . . x . . x . . x . . x . . .
    its span is (4 - 1) * 3 + 1 = 10 frames                        |<----- span ----->|

A clip longer than its video repeats the last frame.
"""

import numpy as np


def clip_span(num_frames: int, stride: int) -> int:
    """Frames from the first to the last frame of a clip, both counted."""
    return (num_frames - 1) * stride + 1


def clip_indices(start: int, *, num_frames: int, stride: int, video_frames: int) -> np.ndarray:
    """Frame numbers of the clip that begins at `start`: start, start + stride, ..; past the end, the last frame.

    Returns:
        int64 [num_frames].
    """
    return np.minimum(start + np.arange(num_frames) * stride, video_frames - 1)


def random_start(span: int, video_frames: int, draw: float) -> int:
    """Any start at which the clip fits, equally likely for a uniform draw from [0, 1); 0 where none does."""
    return int(draw * (max(video_frames - span, 0) + 1))


def centre_start(span: int, video_frames: int) -> int:
    """The start that puts the clip in the middle; 0 where the video is shorter."""
    return max(video_frames - span, 0) // 2


def uniform_starts(num_clips: int, span: int, video_frames: int) -> list[int]:
    """Starts of `num_clips` clips spread evenly from the first frame to the last, both ends touched.

        3 clips of span 6 in 16 frames    |<-- -->|. . . . .
                                          . . . . |<-- -->| . .
                                          . . . . . . . . |<-- -->|

    One clip stands in the middle.
    """
    if num_clips == 1:
        return [centre_start(span, video_frames)]
    last = max(video_frames - span, 0)
    return [round(last * i / (num_clips - 1)) for i in range(num_clips)]
