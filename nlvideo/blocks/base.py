"""The base class of attention blocks.

Shapes: B clips, C channels, T frames, H x W places in a frame.
"""

from copy import deepcopy
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor, nn

from nlvideo.blocks.lesion import Lesion


class Block(nn.Module):
    """Contract: a block maps [B, C, T, H, W] to the same shape and dtype, and its constructor is its configuration.

    Images [B, C, H, W] and sequences [B, C, T] are clips of one frame and of one place.

    The first constructor argument is the number of channels C. All others are keyword-only and have a type and a
    default: they are the YAML keys, the ``--help`` and what a checkpoint records. To add a block, write one file with
    one subclass that defines `forward_clip`, and one line in ``nlvideo/blocks/__init__.py``.

    Attributes:
        conv_norm_pairs: names of convolutions and of the batch norms that alone take their outputs; inference folds
            the norms into the convolutions.
        frame_multiple: T is a multiple of it.
    """

    conv_norm_pairs: ClassVar[tuple[tuple[str, str], ...]] = ()
    frame_multiple: int = 1

    def __init__(self, channels: int):
        super().__init__()
        if channels < 1:
            raise ValueError(f"{type(self).__name__}: channels must be at least 1, got {channels}")
        self.channels = channels

    def forward(self, x: Tensor, lesion: Lesion | None = None) -> Tensor:
        """[B, C, T, H, W], [B, C, H, W] or [B, C, T] -> the same shape; x itself if the lesion switches it off."""
        if x.ndim not in (3, 4, 5) or x.shape[1] != self.channels:
            raise ValueError(
                f"{type(self).__name__}: expected [B, C, T, H, W], [B, C, H, W] or [B, C, T] with C = {self.channels}, "
                f"got {list(x.shape)}"
            )
        clip = x[:, :, None] if x.ndim == 4 else x[..., None, None] if x.ndim == 3 else x
        if lesion is None:
            return self.forward_clip(clip).reshape(x.shape)
        return x if lesion.kind == "off" else self.forward_lesioned(clip, lesion).reshape(x.shape)

    def forward_clip(self, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> the same shape, dtype and memory format."""
        raise NotImplementedError

    def is_identity(self) -> bool:
        """Return whether the block returns its input with the weights that it has, as a block that is put into a
        trained network should at first. It is tried on a random clip, in eval mode."""
        block, weight = deepcopy(self).eval(), next(self.parameters(), torch.empty(0))
        x = torch.randn(1, self.channels, self.frame_multiple, 4, 4, generator=torch.Generator().manual_seed(0))
        x = x.to(weight.device, weight.dtype)  # [1, C, T, 4, 4]
        with torch.no_grad():
            return torch.allclose(block(x), x)

    @property
    def lesions(self) -> tuple[str, ...]:
        """The kinds of `Lesion` that `forward_lesioned` knows; ``off`` is known to every block."""
        return ()

    def forward_lesioned(self, x: Tensor, lesion: Lesion) -> Tensor:
        """[B, C, T, H, W] -> the same shape, with the same weights and a part of their effect taken away.

        Override it and `lesions` if a part of the block can be taken away.
        """
        raise NotImplementedError(f"{type(self).__name__} can only be switched off")

    def attention_weights(self, x: Tensor, positions: Tensor) -> Tensor:
        """Return the weights with which chosen query positions draw on all positions.

        Override it if the block has attention over positions.

        Args:
            x: what `forward` takes, [B, C, T, H, W].
            positions: int64 (Q, 3), frame, row and column in the map.

        Returns:
            (B, Q, T, H', W'), H' x W' the positions of pooled keys; 0 for those that a query is not compared with.
        """
        raise NotImplementedError(f"{type(self).__name__} has no attention over positions")

    def compares(self, x: Tensor, positions: Tensor) -> Tensor:
        """Return with which positions chosen query positions are compared: by default with all, not pooled.

        Override it with `attention_weights` if queries are compared with some, or with pooled keys.

        Args:
            x, positions: as in `attention_weights`.

        Returns:
            bool (Q, T, H', W').
        """
        return positions.new_ones(len(positions), *x.shape[2:], dtype=torch.bool)

    def channel_weights(self, x: Tensor) -> Tensor:
        """Return the gate of each channel, (B, C), or the weights of each channel over all, (B, C, C).

        Override it if the block weighs channels.
        """
        raise NotImplementedError(f"{type(self).__name__} does not weigh channels")


def check_choice(setting: str, given: Any, literal: Any) -> None:
    """Raise ValueError that lists a Literal's values if `given` is none of them: the command line checks, Python does
    not."""
    valid = get_args(literal)
    if given not in valid:
        *others, last = map(str, valid)
        raise ValueError(f"{setting} {given!r}: expected {', '.join(others)} or {last}")
