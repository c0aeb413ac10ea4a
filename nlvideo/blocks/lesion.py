"""Lesions of attention blocks: what is taken away from a trained block, without training it again.

Shapes: B clips, N query positions, M key positions, T frames, D and E channels.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from nlvideo import ops

FRAME_KINDS = ("own_frame", "other_frames", "window")
ALL_KINDS = (*FRAME_KINDS, "uniform")


@dataclass(frozen=True)
class Lesion:
    """What is taken away from a block.

    Attributes:
        kind: ``off``, the block is the identity; ``own_frame``, ``other_frames``, ``window``, a query sees no other
            positions than those of its own frame, of all others, or of the `window` frames around its own;
            ``uniform``, a query draws on all positions alike, a channel has the gate or the weights of all.
        window: number of frames, odd.
    """

    kind: str = "off"
    window: int = 0

    @classmethod
    def parse(cls, text: str) -> "Lesion":
        """Return the lesion of a name: off, own_frame, other_frames, uniform, window3.

        Raises:
            ValueError: there is none of that name.
        """
        if text in ("off", "own_frame", "other_frames", "uniform"):
            return cls(text)
        frames = re.fullmatch(r"window(\d{1,4})", text)
        if frames is None or int(frames[1]) % 2 == 0:
            raise ValueError(
                f"{text!r}: expected off, own_frame, other_frames, uniform or windowN with an odd number of frames, "
                "such as window3"
            )
        return cls("window", int(frames[1]))

    def __str__(self) -> str:
        return f"window{self.window}" if self.kind == "window" else self.kind

    def visible(self, num_frames: int) -> list[list[int]]:
        """Return for each frame the frames that its queries see."""
        frames = range(num_frames)
        if self.kind == "other_frames":
            return [[u for u in frames if u != t] for t in frames]
        reach = self.window // 2  # 0 for own_frame
        return [[u for u in frames if abs(u - t) <= reach] for t in frames]

    def attention(
        self,
        pairwise: str,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        num_frames: int,
        *,
        scale: float = 1.0,
        bias: Sequence[Tensor] = (),
    ) -> Tensor:
        """Return what is left of y (B, N, E); see `nlvideo.ops.frames` for the equations.

        Args:
            pairwise: a name in `nlvideo.ops.PAIRWISE`.
            query, key, value: (B, N, D), (B, M, D), (B, M, E); positions are ordered frame after frame.
            num_frames: T, that N and M positions belong to.
            scale: of the scores, for softmax only.
            bias: of positions, for softmax only; its first axis is time.
        """
        function = ops.PAIRWISE[pairwise]
        if self.kind == "uniform":
            return ops.uniform_attention(function, query, key, value, scale=scale)  # (B, N, E)
        visible = self.visible(num_frames)
        return ops.attention_over_frames(function, query, key, value, visible, scale=scale, bias=bias)
