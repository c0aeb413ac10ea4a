"""How a video is tested: which clips, which crops, and how the head pools. With the same weights protocols give
different accuracies, so a number is of a protocol. Only how pixels are interpolated is ours in all of them.

               clips           crops                head, where the map is larger than in training
    uniform    our own         num_crops squares    one mean over the map, one softmax
    mmaction   mmaction2's     3 squares            the same
    nln        paper's code's  3 squares            slid: the mean keeps the size that it had in training and goes
                                                    over the map in steps of 1; softmax at each place, then mean
    slowfast   SlowFast's      3 squares            slid
    full       paper's code's  the whole frame      slid: the paper's own test (section 4.1)

Letters: N frames of the video, T frames of a clip, s its stride, n clips.

    N = 100, T = 4, s = 8, n = 3           first clip       second clip      third clip
    uniform     our own, both ends touched  0  8 16 24      38 46 54 62      75 83 91 99
    mmaction    the same starts             0  8 16 24      38 46 54 62      75 83 91 99
    nln, full   parts of N, past the end    0  8 16 24      33 41 49 57      66 74 82 90
                from the beginning again
    slowfast    T frames over T * s         0 10 20 31      22 33 43 53      45 55 66 76
"""

import math
from typing import Literal

import numpy as np
import torch

from nlvideo.data.sampling import ClipSampling, clip_span, uniform_starts

TestProtocol = Literal["uniform", "nln", "slowfast", "mmaction", "full"]

SLIDING = {"nln", "slowfast", "full"}  # protocols whose head slides

SLOWFAST_FPS = 30


def check_protocol(protocol: TestProtocol, sampling: ClipSampling, num_crops: int) -> None:
    """
    Raises:
        ValueError: the protocol has no such form.
    """
    if protocol == "uniform":
        return
    if sampling.kind != "dense":
        raise ValueError(f"protocol {protocol} is for dense clips; with sampling {sampling.kind}, leave it at uniform")
    if protocol != "slowfast" and sampling.target_fps is not None:
        raise ValueError(
            f"protocol {protocol} takes frames as they are stored and target_fps is {sampling.target_fps:g}; leave out "
            "one of them, or choose protocol slowfast or uniform"
        )
    if protocol == "full" and num_crops != 1:
        raise ValueError(f"protocol full sees whole frames, got num_crops {num_crops}; leave it out")
    if num_crops not in (1, 3):
        raise ValueError(f"protocol {protocol} has 1 or 3 crops, got num_crops {num_crops}; protocol uniform has any")


def protocol_clips(
    protocol: TestProtocol, sampling: ClipSampling, num_clips: int, *, video_frames: int, fps: float
) -> np.ndarray:
    """Frame numbers of the clips of a test: int64 [num_clips, T]. `fps` is the video's, 0 where unknown."""
    if protocol == "uniform":
        return sampling.spread(num_clips, video_frames, fps)
    if protocol == "slowfast":
        ratio = (fps or SLOWFAST_FPS) / (sampling.target_fps or SLOWFAST_FPS)
        return slowfast_clips(num_clips, sampling.num_frames, sampling.frame_interval, video_frames, ratio)
    clips = {"nln": nln_clips, "full": nln_clips, "mmaction": mmaction_clips}[protocol]
    return clips(num_clips, sampling.num_frames, sampling.frame_interval, video_frames)


def nln_clips(num_clips: int, num_frames: int, frame_interval: int, video_frames: int) -> np.ndarray:
    """facebookresearch/video-nonlocal-net: clip j starts at int(N / n * j) mod N; frame i is start + i * s mod N, so a
    clip that passes the end goes on from the beginning.

        N = 10, T = 4, s = 2, n = 2     x . x . x . x . . .
                                        . x . . . x . x . x      5, 7, 9, then 11 mod 10 = 1
    """
    starts = np.floor(video_frames / num_clips * np.arange(num_clips)).astype(np.int64) % video_frames
    return (starts[:, None] + np.arange(num_frames) * frame_interval) % video_frames


def slowfast_clips(
    num_clips: int, num_frames: int, frame_interval: int, video_frames: int, fps_ratio: float = 1.0
) -> np.ndarray:
    """facebookresearch/SlowFast: a clip lasts T * s frames of 30 a second, its T frames reach from its first to its
    last, and clip j starts at j / n of the room; past the end, the last frame.

        N = 24, T = 4, s = 4, n = 2     x . . . . x . . . . x . . . . x . . . . . . . .      0 + 5 i, to 15
                                        . . . . x . . . . x . . . . x . . . . x . . . .      4 + 5 i: (24 - 16) / 2 = 4

    Args:
        fps_ratio: the video's rate divided by the target's.
    """
    span = num_frames * frame_interval * fps_ratio
    starts = [max(video_frames - span, 0) * clip / num_clips for clip in range(num_clips)]
    # torch's own linspace, in float32, because a place just below a frame's number is rounded down.
    places = torch.stack([torch.linspace(start, start + span - 1, num_frames) for start in starts])  # [n, T]
    return places.clamp(0, video_frames - 1).long().numpy()


def mmaction_clips(num_clips: int, num_frames: int, frame_interval: int, video_frames: int) -> np.ndarray:
    """open-mmlab/mmaction2 (SampleFrames, test mode, no target_fps): starts from 0 to the last place where the clip
    fits, rounded; past the end, from the beginning again.

        N = 16, T = 3, s = 3, n = 3     x . . x . . x . . . . . . . . .
                                        . . . . x . . x . . x . . . . .      round(9 / 2) = 4, to even
                                        . . . . . . . . . x . . x . . x
    """
    starts = np.array(uniform_starts(num_clips, clip_span(num_frames, frame_interval), video_frames))
    return (starts[:, None] + np.arange(num_frames) * frame_interval) % video_frames


def crop_offsets(protocol: TestProtocol, room: int, num_crops: int) -> list[int]:
    """Where crops stand along the longer side, in pixels; `room` is that side less the crop.

    room 5      uniform  0 2 5      nln, mmaction  0 2 4      slowfast  0 3 5
    """
    middle = math.ceil(room / 2) if protocol == "slowfast" else room // 2
    if num_crops == 1:
        return [middle]
    if protocol == "uniform":
        return [room * i // (num_crops - 1) for i in range(num_crops)]
    return [0, middle, room if protocol == "slowfast" else 2 * middle]
