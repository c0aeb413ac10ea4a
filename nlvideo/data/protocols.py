"""Test protocols: which clips and crops a video is tested on, and how the head pools. With the same weights protocols
give different accuracies, so a number is of a protocol. Only the interpolation of pixels is ours in all of them.

               clips           crops                head, if the map is larger than in training
    uniform    our own         num_crops squares    one mean over the map, one softmax
    mmaction   mmaction2's     3 squares            the same
    nln        paper's code's  3 squares            slides: the mean keeps the size that it had in training and goes
                                                    over the map in steps of 1; softmax at each place, then mean
    slowfast   SlowFast's      3 squares            slides
    full       paper's code's  the whole frame      slides: the paper's own test (section 4.1)

To add one, write it as a `TestProtocol` and add a line to PROTOCOLS.

Shapes: N frames of the video, T frames of a clip, s its frame interval, n clips.

    N = 100, T = 4, s = 8, n = 3           first clip       second clip      third clip
    uniform     our own, both ends touched  0  8 16 24      38 46 54 62      75 83 91 99
    mmaction    the same starts             0  8 16 24      38 46 54 62      75 83 91 99
    nln, full   parts of N, past the end    0  8 16 24      33 41 49 57      66 74 82 90
                from the beginning again
    slowfast    T frames over T * s         0 10 20 31      22 33 43 53      45 55 66 76
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from nlvideo.data.sampling import ClipSampling, clip_span, uniform_starts

SLOWFAST_FPS = 30


@dataclass(frozen=True)
class TestProtocol:
    """A way to test a video.

    Args:
        clips: (sampling, n, N, the video's frame rate or 0 if unknown) -> frame numbers, int64 [n, T].
        offsets: (room, number of crops) -> where the crops stand along the longer side, in pixels from 0 to room, which
            is that side less the crop; None if the network sees whole frames.
        slides: whether the head slides over a map larger than in training.
        num_crops: of each clip, if the user names no number.
        allowed_crops: numbers that the user may name; None for any.
        allows_segments: whether it has clips for segment sampling.
        allows_target_fps: whether it takes the video's frame rate into account.
    """

    __test__ = False  # no test class, whatever pytest makes of its name

    clips: Callable[[ClipSampling, int, int, float], np.ndarray]
    offsets: Callable[[int, int], list[int]] | None
    slides: bool = False
    num_crops: int = 3
    allowed_crops: tuple[int, ...] | None = (1, 3)
    allows_segments: bool = False
    allows_target_fps: bool = False


def find_protocol(name: str, sampling: ClipSampling, num_crops: int | None = None) -> TestProtocol:
    """Return the protocol of that name.

    Args:
        num_crops: as the user names it, None if not at all.

    Raises:
        ValueError: if there is none, or if it has no such clips or crops.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"data.protocol: there is no {name!r}; expected one of {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    if sampling.kind != "dense" and not protocol.allows_segments:
        raise ValueError(f"protocol {name} is for dense clips; with sampling {sampling.kind}, leave it at uniform")
    if sampling.target_fps is not None and not protocol.allows_target_fps:
        raise ValueError(
            f"protocol {name} takes frames as they are stored and target_fps is {sampling.target_fps:g}; leave out "
            "one of them, or choose protocol slowfast or uniform"
        )
    if num_crops is not None and protocol.allowed_crops is not None and num_crops not in protocol.allowed_crops:
        allowed = " or ".join(map(str, protocol.allowed_crops))
        sees = ", which sees whole frames" if protocol.offsets is None else ""
        raise ValueError(
            f"data.num_crops: expected {allowed} for protocol {name}{sees}, got {num_crops}; leave it out, or choose "
            "protocol uniform, which has any number"
        )
    return protocol


def uniform_clips(sampling: ClipSampling, num_clips: int, video_frames: int, fps: float) -> np.ndarray:
    """Our own, see `ClipSampling.spread`."""
    return sampling.spread(num_clips, video_frames, fps)


def nln_clips(sampling: ClipSampling, num_clips: int, video_frames: int, fps: float = 0.0) -> np.ndarray:
    """facebookresearch/video-nonlocal-net: clip j starts at int(N / n * j) mod N; frame i is start + i * s mod N, so a
    clip that passes the end goes on from the beginning.

        N = 10, T = 4, s = 2, n = 2     x . x . x . x . . .
                                        . x . . . x . x . x      5, 7, 9, then 11 mod 10 = 1
    """
    starts = np.floor(video_frames / num_clips * np.arange(num_clips)).astype(np.int64) % video_frames
    return (starts[:, None] + np.arange(sampling.num_frames) * sampling.frame_interval) % video_frames


def slowfast_clips(sampling: ClipSampling, num_clips: int, video_frames: int, fps: float) -> np.ndarray:
    """facebookresearch/SlowFast: a clip lasts T * s frames at 30 a second (or at the target rate), its T frames reach
    from its first to its last, and clip j starts at j / n of the room; past the end, the last frame.

        N = 24, T = 4, s = 4, n = 2     x . . . . x . . . . x . . . . x . . . . . . . .      0 + 5 i, to 15
                                        . . . . x . . . . x . . . . x . . . . x . . . .      4 + 5 i: (24 - 16) / 2 = 4
    """
    fps_ratio = (fps or SLOWFAST_FPS) / (sampling.target_fps or SLOWFAST_FPS)
    span = sampling.num_frames * sampling.frame_interval * fps_ratio
    starts = [max(video_frames - span, 0) * clip / num_clips for clip in range(num_clips)]
    # torch's own linspace, in float32, because a place just below a frame's number is rounded down.
    places = torch.stack([torch.linspace(start, start + span - 1, sampling.num_frames) for start in starts])  # [n, T]
    return places.clamp(0, video_frames - 1).long().numpy()


def mmaction_clips(sampling: ClipSampling, num_clips: int, video_frames: int, fps: float = 0.0) -> np.ndarray:
    """open-mmlab/mmaction2 (SampleFrames, test mode, no target_fps): starts from 0 to the last place at which the clip
    fits, rounded; past the end, from the beginning again.

        N = 16, T = 3, s = 3, n = 3     x . . x . . x . . . . . . . . .
                                        . . . . x . . x . . x . . . . .      round(9 / 2) = 4, to even
                                        . . . . . . . . . x . . x . . x
    """
    num_frames, interval = sampling.num_frames, sampling.frame_interval
    starts = np.array(uniform_starts(num_clips, clip_span(num_frames, interval), video_frames))
    return (starts[:, None] + np.arange(num_frames) * interval) % video_frames


def even_offsets(room: int, num_crops: int) -> list[int]:
    """From end to end, rounded down: room 5 has crops at 0, 2, 5."""
    return [room // 2] if num_crops == 1 else [room * i // (num_crops - 1) for i in range(num_crops)]


def doubled_offsets(room: int, num_crops: int) -> list[int]:
    """The middle, rounded down, and twice that: room 5 has crops at 0, 2, 4."""
    return [0, room // 2, 2 * (room // 2)] if num_crops == 3 else [room // 2]


def slowfast_offsets(room: int, num_crops: int) -> list[int]:
    """The middle, rounded up: room 5 has crops at 0, 3, 5."""
    middle = math.ceil(room / 2)
    return [0, middle, room] if num_crops == 3 else [middle]


PROTOCOLS = {
    "uniform": TestProtocol(
        uniform_clips, even_offsets, allowed_crops=None, allows_segments=True, allows_target_fps=True
    ),
    "nln": TestProtocol(nln_clips, doubled_offsets, slides=True),
    "slowfast": TestProtocol(slowfast_clips, slowfast_offsets, slides=True, allows_target_fps=True),
    "mmaction": TestProtocol(mmaction_clips, doubled_offsets),
    "full": TestProtocol(nln_clips, None, slides=True, num_crops=1, allowed_crops=(1,)),
}
