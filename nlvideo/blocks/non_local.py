"""The non-local block (Wang, Girshick, Gupta, He, CVPR 2018).

Shapes: B clips, C channels, D inner channels, T frames, H x W places in a frame; N query positions, M key positions
(M < N if keys are subsampled); G groups of positions that see only each other.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from nlvideo import ops
from nlvideo.blocks.base import Block, check_choice
from nlvideo.blocks.frozen_affine import FrozenAffine
from nlvideo.blocks.grouping import Domain, Grouping
from nlvideo.blocks.lesion import ALL_KINDS, Lesion
from nlvideo.blocks.pointwise import linear, pointwise
from nlvideo.blocks.position import Position, make_position_bias
from nlvideo.ops.inputs import without_autocast
from nlvideo.ops.precision import widened

Pairwise = Literal[tuple(ops.PAIRWISE)]
Norm = Literal["batch", "affine", "none"]


class NonLocal(Block):
    """Add to each position a weighted sum over all positions: z_i = W_z y_i + x_i (Wang et al. 2018, Eq. 6),
    y_i = 1/C(x) sum_j f(x_i, x_j) g(x_j) (Eq. 1).

    ::

        x --+-- theta ------------------ query --+
            |                                    f -- y -- conv_out -- norm -- (+) --> z
            +-- max-pool 1x2x2 --+- phi -- key --+                              |
            |                    +- g --- value -+                              |
            +-------------------------------------------------------------------+

    There is no ReLU after the sum. The block starts as the identity, as in the paper (section 4.1: the last norm's
    weight is 0), so it does not change the output of a pretrained network.

    Args:
        channels: C.
        pairwise: f and its normaliser C(x), a name in `nlvideo.ops.PAIRWISE`. ``gaussian`` exp(x_i . x_j) (Eq. 2; no
            theta and phi) and ``embedded_gaussian`` exp(theta_i . phi_j) (Eq. 3) are divided by their sum over j;
            ``dot_product`` theta_i . phi_j (Eq. 4) and ``concatenation`` relu(w . [theta_i, phi_j]) (Eq. 5) by M.
        bottleneck: D = C / bottleneck.
        subsample: max-pool keys and values by 1x2x2, for a quarter of the pairs (section 3.3). Sequences are not
            pooled.
        pool_after_projection: apply phi and g before that pooling (mmaction2's order) instead of after it (the paper's
            code). The two are not equal.
        scale: multiply scores by D^-0.5 before the softmax. None: on for ``embedded_gaussian`` (the paper's code),
            off for ``gaussian`` (Eq. 2).
        domain: which positions are compared: all of the clip, those of one frame (``space``), or those of one
            place at all times (``time``) (Table 2d).
        temporal_groups: number of runs of frames that see only each other: how the paper's code fits 128 frames.
        position: what a softmax adds to its scores for the difference of two positions in t, y and x: ``none``, as the
            paper; ``relative``, a learned number for each difference; ``decay``, a learned fall-off, linear in the
            distance. Both start at 0 and change nothing then, but see `init_position`. See `nlvideo.blocks.position`.
        position_size: T, H, W of the grid for which ``relative`` has a number for each difference; on other grids it is
            interpolated. A grid is what sees each other: a map, a run of its frames, a frame, a place at all times.
            None: 8 x 14 x 14, res4 of the paper's 8-frame network.
        bias: whether conv_out has one; theta, phi and g always do.
        norm: ``batch``; ``affine``, a frozen scale and shift in its place, for fine-tuning with few clips a GPU;
            ``none``.
        init_std: standard deviation of the convolutions' initial weights, as in the paper's code; None keeps PyTorch's
            initialisation, whose scores differ from each other, so a network trained from scratch learns faster.
        init_scale: initial weight of the norm; without one, a factor of conv_out's. 1 is faster from scratch.
        init_position: standard deviation of the initial numbers of `position`.

    Raises:
        ValueError: an unknown value, an option that would have no effect, or, in `forward`, a T that
            `temporal_groups` does not divide.
    """

    conv_norm_pairs = (("conv_out", "norm"),)

    def __init__(
        self,
        channels: int,
        *,
        pairwise: Pairwise = "embedded_gaussian",
        bottleneck: int = 2,
        subsample: bool = True,
        pool_after_projection: bool = False,
        scale: bool | None = None,
        domain: Domain = "spacetime",
        temporal_groups: int = 1,
        position: Position = "none",
        position_size: tuple[int, int, int] | None = None,
        bias: bool = True,
        norm: Norm = "batch",
        init_std: float | None = 0.01,
        init_scale: float = 0.0,
        init_position: float = 0.0,
    ):
        super().__init__(channels)
        check_choice("NonLocal: pairwise", pairwise, Literal[tuple(ops.PAIRWISE)])
        check_choice("NonLocal: domain", domain, Domain)
        check_choice("NonLocal: position", position, Position)
        check_choice("NonLocal: norm", norm, Norm)
        function = ops.PAIRWISE[pairwise]
        if not 1 <= bottleneck <= channels:
            raise ValueError(f"NonLocal: bottleneck {bottleneck}; expected 1 to {channels}, the number of channels")
        if scale and not function.is_softmax:
            raise ValueError(f"NonLocal: scale belongs to the softmax, which {pairwise} has not; leave it out")
        if pool_after_projection and not subsample:
            raise ValueError("NonLocal: pool_after_projection is an order of pooling, but subsample is false; set one")
        if position != "none" and not function.is_softmax:
            raise ValueError(
                f"NonLocal: position {position!r} is added to the scores of a softmax, which {pairwise} has not; set "
                "pairwise to gaussian or embedded_gaussian, or position to none"
            )
        if init_position and position == "none":
            raise ValueError(f"NonLocal: init_position {init_position}, but position is 'none'; leave one of them out")
        inner = channels // bottleneck
        self.pairwise = pairwise
        self.pool_after_projection = pool_after_projection
        self.grouping = Grouping(domain, temporal_groups, subsample)
        self.frame_multiple = temporal_groups

        embedded = function.embeds
        self.conv_theta = nn.Conv3d(channels, inner, kernel_size=1) if embedded else nn.Identity()
        self.conv_phi = nn.Conv3d(channels, inner, kernel_size=1) if embedded else nn.Identity()
        self.conv_g = nn.Conv3d(channels, inner, kernel_size=1)
        self.conv_concat = nn.Conv3d(2 * inner, 1, kernel_size=1, bias=False) if function.additive else None
        self.conv_out = nn.Conv3d(inner, channels, kernel_size=1, bias=bias)
        self.norm = _NORMS[norm](channels)
        self.position = make_position_bias(position, self.grouping.axes, position_size)

        if scale is None:
            scale = pairwise == "embedded_gaussian"
        self.scale = (inner if embedded else channels) ** -0.5 if scale else 1.0
        self._init_weights(init_std, init_scale, init_position)

    def _init_weights(self, init_std: float | None, init_scale: float, init_position: float) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                if init_std is not None:
                    nn.init.normal_(module.weight, std=init_std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # The last trained scale of the block; a frozen affine at 0 would stay there.
        last = self.norm if isinstance(self.norm, nn.BatchNorm3d) else self.conv_out
        last.weight.data.mul_(init_scale)
        if init_position:
            for parameter in self.position.parameters():
                nn.init.normal_(parameter, std=init_position)

    def forward_clip(self, x: Tensor) -> Tensor:
        function = ops.PAIRWISE[self.pairwise]
        pooled = x if self.pool_after_projection else self.grouping.pool(x)  # (B, C, T, H, W)
        value = self._keys(self.conv_g, pooled)  # (B*G, M, D)
        n, m = x[:, 0].numel() // value.shape[0], value.shape[1]
        theta_on_keys, out_on_values = function.cheapest_order(n, m, self.channels, value.shape[2])
        if out_on_values:
            value = linear(value, self.conv_out.weight.flatten(1))  # (B*G, M, C)
        if function.additive:
            y = function(*self._additive_scores(x, pooled), value)  # (B*G, N, D or C)
        elif theta_on_keys:
            # theta_i . phi_j = (W x_i + b) . phi_j = x_i . (W^T phi_j) + b . phi_j
            key, theta = self._keys(self.conv_phi, pooled), self.conv_theta  # (B*G, M, D)
            with without_autocast(x):
                key_bias = widened(key) @ widened(theta.bias)  # (B*G, M)
            query = self.grouping.to_groups(x)  # (B*G, N, C)
            key = linear(key, theta.weight.flatten(1).t())  # (B*G, M, C)
            options = {"scale": self.scale, "key_bias": key_bias, "bias": self.position_bias(x)}
            y = function.explicit(query, key, value, **options)  # (B*G, N, C)
        else:
            key = self._keys(self.conv_phi, pooled)  # (B*G, M, D)
            query = self.grouping.to_groups(pointwise(self.conv_theta, x))  # (B*G, N, D)
            y = function(query, key, value, scale=self.scale, bias=self.position_bias(x))  # (B*G, N, D or C)
        y = self.grouping.to_clip(y, x)  # (B, D or C, T, H, W)
        if not out_on_values:
            y = pointwise(self.conv_out, y)  # (B, C, T, H, W)
        elif self.conv_out.bias is not None:
            y = y + self.conv_out.bias.to(y.dtype)[:, None, None, None]  # (B, C, T, H, W)
        return x + self.norm(y)  # (B, C, T, H, W)

    @property
    def lesions(self) -> tuple[str, ...]:
        return ("uniform",) if self.grouping.domain == "space" else ALL_KINDS  # frames are apart already

    def forward_lesioned(self, x: Tensor, lesion: Lesion) -> Tensor:
        query, key, value = self.project(x)  # (B*G, N, D), (B*G, M, D), (B*G, M, D)
        if ops.PAIRWISE[self.pairwise].additive:
            query, key = self.concatenation_scores(query, key)  # (B*G, N), (B*G, M)
        frames, bias = self.grouping.num_frames(x.shape[2]), self.position_bias(x)
        y = lesion.attention(self.pairwise, query, key, value, frames, scale=self.scale, bias=bias)  # (B*G, N, D)
        y = pointwise(self.conv_out, self.grouping.to_clip(y, x))  # (B, C, T, H, W)
        return x + self.norm(y)  # (B, C, T, H, W)

    def attention_weights(self, x: Tensor, positions: Tensor) -> Tensor:
        query, key, _ = self.project(x)  # (B*G, N, D), (B*G, M, D)
        if ops.PAIRWISE[self.pairwise].additive:
            query, key = self.concatenation_scores(query, key)  # (B*G, N), (B*G, M)
        query, key = (each.unflatten(0, (len(x), -1)) for each in (query, key))  # (B, G, N, ..), (B, G, M, ..)
        group, row = self.grouping.find(positions, x)  # (Q), (Q)
        bias, pooled = self.position_bias(x), self.grouping.pool(x[:1, :1]).shape[2:]
        dtype = torch.promote_types(query.dtype, torch.float32)
        out = query.new_zeros(len(x), len(positions), *pooled, dtype=dtype)  # (B, Q, T, H', W')
        for g in group.unique().tolist():
            chosen = (group == g).nonzero()[:, 0]  # (q)
            weights = ops.attention_weights(
                self.pairwise, query[:, g], key[:, g], row[chosen], self.scale, bias
            )  # (B, q, M)
            keys = self.grouping.key_map(out, g)
            keys[:, chosen] = weights.unflatten(2, keys.shape[2:])
        return out

    def compares(self, x: Tensor, positions: Tensor) -> Tensor:
        return self.grouping.compares(x, positions)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, C, T, H, W] -> query (B*G, N, D), key (B*G, M, D), value (B*G, M, D); for ``gaussian`` query and
        key have C channels."""
        pooled = x if self.pool_after_projection else self.grouping.pool(x)  # (B, C, T, H, W)
        query = self.grouping.to_groups(pointwise(self.conv_theta, x))  # (B*G, N, D)
        return query, self._keys(self.conv_phi, pooled), self._keys(self.conv_g, pooled)

    def position_bias(self, x: Tensor) -> list[Tensor]:
        """Return what `position` adds to the scores: a matrix for each axis of the positions that see each other."""
        if self.position is None:
            return []
        sizes = self.grouping.axis_sizes(x)
        return self.position([sizes[axis] for axis in self.position.axes])

    def concatenation_scores(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        """w . [theta_i, phi_j] = a_i + b_j: (B*G, N, D), (B*G, M, D) -> a (B*G, N), b (B*G, M)."""
        w_theta, w_phi = self.conv_concat.weight.flatten().chunk(2)  # (D), (D)
        return linear(query, w_theta[None])[..., 0], linear(key, w_phi[None])[..., 0]

    def _keys(self, conv: nn.Module, x: Tensor) -> Tensor:
        """[B, C, T, H, W] -> (B*G, M, D), where x is pooled already or, with `pool_after_projection`, not yet."""
        y = pointwise(conv, x)  # (B, D, T, H, W)
        return self.grouping.to_groups(self.grouping.pool(y) if self.pool_after_projection else y)

    def _additive_scores(self, x: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, T, H, W], [B, C, T, H/2, W/2] -> a (B*G, N), b (B*G, M): w . (W x + b) = (w W) . x + w . b."""
        if self.pool_after_projection or ops.explicit_forms_required():  # a maximum stands between w and phi
            query = self.grouping.to_groups(pointwise(self.conv_theta, x))  # (B*G, N, D)
            return self.concatenation_scores(query, self._keys(self.conv_phi, pooled))

        def score(conv: nn.Conv3d, w: Tensor, x: Tensor) -> Tensor:
            weight, bias = (w @ conv.weight.flatten(1))[None], (w @ conv.bias)[None]  # (1, C), (1)
            return linear(self.grouping.to_groups(x), weight, bias)[..., 0]

        w_theta, w_phi = self.conv_concat.weight.flatten().chunk(2)  # (D), (D)
        return score(self.conv_theta, w_theta, x), score(self.conv_phi, w_phi, pooled)


_NORMS = {"batch": nn.BatchNorm3d, "affine": FrozenAffine, "none": nn.Identity}
