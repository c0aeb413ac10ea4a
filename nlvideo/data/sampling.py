"""Which frames of a video make a clip. Pure arithmetic on frame numbers.

    a clip of 4 frames with interval 3 from frame 5        . . . . . x . . x . . x . . x . . .
    its span is (4 - 1) * 3 + 1 = 10 frames                        |<----- span ----->|

A clip longer than its video repeats the last frame. The test protocols of other codebases are in `protocols`.

Letters: T frames of a clip.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class ClipSampling:
    """How a clip is taken from a video.

    Args:
        num_frames: T.
        frame_interval: frames from one to the next, of a dense clip.
        kind: dense takes every frame_interval-th frame; segments (temporal segment networks) one frame from each of T
            equal parts of the whole video.
        target_fps: the frame interval counts frames of a video at this rate: at 60 frames a second, interval 8 of
            target 30 takes every 16th frame. None takes frames as they are stored.
    """

    num_frames: int = 8
    frame_interval: int = 8
    kind: Literal["dense", "segments"] = "dense"
    target_fps: float | None = None

    def step(self, fps: float) -> float:
        """Stored frames from one frame of a dense clip to the next; `fps` 0 means unknown."""
        return self.frame_interval * fps / self.target_fps if self.target_fps and fps else self.frame_interval

    def random(self, video_frames: int, fps: float, draws: np.ndarray) -> np.ndarray:
        """int64 [T], for T independent uniform draws from [0, 1)."""
        if self.kind == "segments":
            return segment_indices(self.num_frames, video_frames, draws)
        step = self.step(fps)
        start = random_start(clip_span(self.num_frames, step), video_frames, draws[0])
        return clip_indices(start, num_frames=self.num_frames, frame_interval=step, video_frames=video_frames)

    def centre(self, video_frames: int, fps: float) -> np.ndarray:
        """int64 [T]: of clip level."""
        return self.spread(1, video_frames, fps)[0]

    def spread(self, num_clips: int, video_frames: int, fps: float) -> np.ndarray:
        """int64 [num_clips, T], evenly over the video: of video level."""
        if self.kind == "segments":
            places = [(2 * clip + 1) / (2 * num_clips) for clip in range(num_clips)]
            return np.stack([segment_indices(self.num_frames, video_frames, place) for place in places])
        step = self.step(fps)
        starts = uniform_starts(num_clips, clip_span(self.num_frames, step), video_frames)
        return np.stack(
            [
                clip_indices(start, num_frames=self.num_frames, frame_interval=step, video_frames=video_frames)
                for start in starts
            ]
        )

    def each_second(self, video_frames: int, fps: float) -> np.ndarray:
        """int64 [seconds, T]: for each second that has begun, the dense clip around its middle, moved inwards at the
        ends of the video.

        Raises:
            ValueError: the clips are segments of a whole video, or the video's rate is unknown.
        """
        if self.kind == "segments":
            raise ValueError("the network was trained on segments of whole videos: its clips have no second")
        if not fps:
            raise ValueError("nothing says how many frames a second has")
        step = self.step(fps)
        span = clip_span(self.num_frames, step)
        middles = (np.arange(math.ceil(video_frames / fps)) + 0.5) * fps
        starts = np.clip(np.floor(middles - span / 2).astype(np.int64), 0, max(video_frames - span, 0))
        return np.stack(
            [
                clip_indices(start, num_frames=self.num_frames, frame_interval=step, video_frames=video_frames)
                for start in starts.tolist()
            ]
        )


def clip_span(num_frames: int, frame_interval: float) -> int:
    """Frames from the first to the last frame of a clip, both counted."""
    return math.floor((num_frames - 1) * frame_interval) + 1


def clip_indices(start: int, *, num_frames: int, frame_interval: float, video_frames: int) -> np.ndarray:
    """Frame numbers of the clip that begins at `start`: start, start + frame_interval, .., rounded down; past the
    end, the last frame.

    Returns:
        int64 [num_frames].
    """
    return np.minimum(start + np.floor(np.arange(num_frames) * frame_interval).astype(np.int64), video_frames - 1)


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


def segment_indices(num_frames: int, video_frames: int, draws: np.ndarray | float) -> np.ndarray:
    """One frame from each of `num_frames` equal parts of the video, as SlowFast does for Something-Something.

        16 frames, 3 parts      0 . . . . 5 . . . . 10 . . . . 15
        the parts               |<------->|<------->|<-------->|      both ends belong to a part
        draw 0.5 in each            2         7         12

    Args:
        num_frames: T.
        video_frames: of the whole video.
        draws: [T] or one for all, in [0, 1): how far into its part each frame lies.

    Returns:
        int64 [T].
    """
    edges = np.rint(np.arange(num_frames + 1) * ((video_frames - 1) / num_frames)).astype(np.int64)
    first, last = edges[:-1], edges[1:]
    return first + np.floor(draws * (last - first + 1)).astype(np.int64)
