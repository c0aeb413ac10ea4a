"""Which frames of a video make a clip. Pure arithmetic on frame numbers.

    a clip of 4 frames with interval 3 from frame 5        . . . . . x . . x . . x . . x . . .
    its span is (4 - 1) * 3 + 1 = 10 frames                        |<----- span ----->|

A clip longer than its video repeats the last frame. The test protocols of other codebases are in `protocols`.

Shapes: T frames of a clip.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class ClipSampling:
    """How a clip is taken from a video. In all methods `fps` is the video's frame rate, 0 if unknown.

    Args:
        num_frames: T.
        frame_interval: frames from one to the next, of a dense clip.
        kind: dense takes every frame_interval-th frame; segments (temporal segment networks) one frame from each of T
            equal parts of the whole video.
        target_fps: the frame rate in which the interval counts: at 60 frames a second, interval 8 of target 30 takes
            every 16th frame. None takes frames as they are stored.
    """

    num_frames: int = 8
    frame_interval: int = 8
    kind: Literal["dense", "segments"] = "dense"
    target_fps: float | None = None

    def random(self, video_frames: int, fps: float, draws: np.ndarray) -> np.ndarray:
        """Return int64 [T], for T independent uniform draws from [0, 1)."""
        if self.kind == "segments":
            return segment_indices(self.num_frames, video_frames, draws)
        start = random_start(clip_span(self.num_frames, self._step(fps)), video_frames, draws[0])
        return self._dense([start], video_frames, fps)[0]

    def centre(self, video_frames: int, fps: float) -> np.ndarray:
        """Return int64 [T]: the clip of clip level."""
        return self.spread(1, video_frames, fps)[0]

    def spread(self, num_clips: int, video_frames: int, fps: float) -> np.ndarray:
        """Return int64 [num_clips, T]: clips of video level, evenly over the video."""
        if self.kind == "segments":
            places = [(2 * clip + 1) / (2 * num_clips) for clip in range(num_clips)]
            return np.stack([segment_indices(self.num_frames, video_frames, place) for place in places])
        starts = uniform_starts(num_clips, clip_span(self.num_frames, self._step(fps)), video_frames)
        return self._dense(starts, video_frames, fps)

    def each_second(self, video_frames: int, fps: float) -> np.ndarray:
        """Return int64 [seconds, T]: for each second that has begun, the dense clip around its middle, moved inwards at
        the ends of the video.

        Raises:
            ValueError: if clips are segments of a whole video, or the frame rate is unknown.
        """
        if self.kind == "segments":
            raise ValueError("the network was trained on segments of whole videos: its clips have no second")
        if not fps:
            raise ValueError("its frame rate is unknown")
        span = clip_span(self.num_frames, self._step(fps))
        middles = (np.arange(math.ceil(video_frames / fps)) + 0.5) * fps
        starts = np.clip(np.floor(middles - span / 2).astype(np.int64), 0, max(video_frames - span, 0))
        return self._dense(starts.tolist(), video_frames, fps)

    def _step(self, fps: float) -> float:
        """Return the stored frames from one frame of a dense clip to the next."""
        return self.frame_interval * fps / self.target_fps if self.target_fps and fps else self.frame_interval

    def _dense(self, starts: list[int], video_frames: int, fps: float) -> np.ndarray:
        options = {"num_frames": self.num_frames, "frame_interval": self._step(fps), "video_frames": video_frames}
        return np.stack([clip_indices(start, **options) for start in starts])


def clip_span(num_frames: int, frame_interval: float) -> int:
    """Return the frames from the first to the last frame of a clip, both counted."""
    return math.floor((num_frames - 1) * frame_interval) + 1


def clip_indices(start: int, *, num_frames: int, frame_interval: float, video_frames: int) -> np.ndarray:
    """Return int64 [num_frames]: start, start + frame_interval, .., rounded down; past the end, the last frame."""
    return np.minimum(start + np.floor(np.arange(num_frames) * frame_interval).astype(np.int64), video_frames - 1)


def random_start(span: int, video_frames: int, draw: float) -> int:
    """Return any start at which the clip fits, equally likely for a uniform draw from [0, 1); 0 if there is none."""
    return int(draw * (max(video_frames - span, 0) + 1))


def centre_start(span: int, video_frames: int) -> int:
    """Return the start that puts the clip in the middle; 0 if the video is shorter."""
    return max(video_frames - span, 0) // 2


def uniform_starts(num_clips: int, span: int, video_frames: int) -> list[int]:
    """Return starts of clips spread evenly from the first frame to the last, both ends touched; one is in the middle.

    3 clips of span 6 in 16 frames    |<-- -->|. . . . .
                                      . . . . |<-- -->| . .
                                      . . . . . . . . |<-- -->|
    """
    if num_clips == 1:
        return [centre_start(span, video_frames)]
    last = max(video_frames - span, 0)
    return [round(last * i / (num_clips - 1)) for i in range(num_clips)]


def segment_indices(num_frames: int, video_frames: int, draws: np.ndarray | float) -> np.ndarray:
    """Return int64 [T], one frame from each of T equal parts of the video, as SlowFast does for Something-Something.

        16 frames, 3 parts      0 . . . . 5 . . . . 10 . . . . 15
        the parts               |<------->|<------->|<-------->|      both ends belong to a part
        draw 0.5 in each            2         7         12

    Args:
        draws: [T] or one for all, in [0, 1): how far into its part each frame is.
    """
    edges = np.rint(np.arange(num_frames + 1) * ((video_frames - 1) / num_frames)).astype(np.int64)
    first, last = edges[:-1], edges[1:]
    return first + np.floor(draws * (last - first + 1)).astype(np.int64)
