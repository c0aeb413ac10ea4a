"""Variants of a test: the network or what it is shown changed, scored beside the intact network in one decode.

Shapes: J clips of a video, T frames of a clip.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from nlvideo.data.eval_dataset import DecodedVideo
from nlvideo.models import Backbone


@dataclass(frozen=True)
class Variant:
    """One row of a test.

    Attributes:
        name: says all that determines it, but the seed. It is part of a file's name.
        kind: what is changed: the network (``lesion``) or the order of frames (``probe``).
        lesion: returns the context within which the network is changed.
        probe: (clips, row of the video in the manifest) -> which frames the clips show, int64 [J, T] -> [J, T].
    """

    name: str
    kind: Literal["intact", "lesion", "probe"]
    lesion: Callable[[Backbone], AbstractContextManager[None]] = lambda net: nullcontext()
    probe: Callable[[Tensor, int], Tensor] = lambda clips, video: clips

    def show(self, videos: list[DecodedVideo]) -> list[DecodedVideo]:
        """Return the videos with the clips that the network is shown."""
        return [video._replace(clips=self.probe(video.clips, video.index)) for video in videos]


INTACT = Variant("intact", "intact")
