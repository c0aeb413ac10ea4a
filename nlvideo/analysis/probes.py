"""Time probes: the frames of a clip in another order, to see how much a network needs time.

Shapes: J clips, T frames.

    T = 8              0 1 2 3 4 5 6 7
    shuffled           3 0 7 5 1 2 6 4      another order for each clip, drawn from the seed and the video
    reversed           7 6 5 4 3 2 1 0
    still              4 4 4 4 4 4 4 4      the middle frame
    first_half         0 0 1 1 2 2 3 3      half of the span at half the speed; no frame that the clip has not
    second_half        4 4 5 5 6 6 7 7
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


def shuffled(num_clips: int, num_frames: int, seed: int, video: int) -> np.ndarray:
    rng = np.random.default_rng([seed, video])
    return rng.permuted(_in_order(num_clips, num_frames), axis=1)


def reversed_(num_clips: int, num_frames: int, seed: int, video: int) -> np.ndarray:
    return _in_order(num_clips, num_frames)[:, ::-1].copy()


def still(num_clips: int, num_frames: int, seed: int, video: int) -> np.ndarray:
    return np.full((num_clips, num_frames), num_frames // 2)


def first_half(num_clips: int, num_frames: int, seed: int, video: int) -> np.ndarray:
    return _in_order(num_clips, num_frames) // 2


def second_half(num_clips: int, num_frames: int, seed: int, video: int) -> np.ndarray:
    return num_frames // 2 + first_half(num_clips, num_frames, seed, video)


def _in_order(num_clips: int, num_frames: int) -> np.ndarray:
    return np.tile(np.arange(num_frames), (num_clips, 1))  # [J, T]


# Name -> (J, T, seed, row of the video in the manifest) -> for each clip, which of its frames are shown, int64 [J, T].
PROBES: dict[str, Callable[[int, int, int, int], np.ndarray]] = {
    "shuffled": shuffled,
    "reversed": reversed_,
    "still": still,
    "first_half": first_half,
    "second_half": second_half,
}


def parse_probes(names: Sequence[str]) -> list[str]:
    """Return the probes that names of the command line ask for, each once; ``all`` is all of them.

    Raises:
        ValueError: there is none of that name.
    """
    for name in names:
        if name not in (*PROBES, "all"):
            raise ValueError(f"--probe {name}: expected some of {', '.join(PROBES)}, or all")
    return list(dict.fromkeys(probe for name in names for probe in (PROBES if name == "all" else [name])))


def probe_clips(clips: Tensor, probe: str, seed: int, video: int) -> Tensor:
    """Return the frames of clips [J, T] as a probe shows them, [J, T].

    Args:
        clips: which frames of the video each clip has.
        seed: of the orders that are drawn.
        video: row in the manifest, so that each video has orders of its own.
    """
    order = torch.from_numpy(PROBES[probe](*clips.shape, seed, video)).to(clips.device)  # [J, T]
    return clips.gather(1, order)
