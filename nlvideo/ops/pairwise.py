"""The table of pairwise functions f(x_i, x_j). A new one is one entry here: every block, count and export finds it.

Shapes: B clips, N query positions, M key positions, Q chosen query positions, D and E channels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from nlvideo.ops import concatenation, dot_product, reference, softmax
from nlvideo.ops.forms import explicit_forms_required
from nlvideo.ops.inputs import checked_qkv, checked_scores, without_autocast


def _explicit_multiply_adds(n: int, m: int, d: int, e: int) -> int:
    return n * m * (d + e)


@dataclass(frozen=True, kw_only=True)
class PairwiseFunction:
    """Contract: `weights` is f(x_i, x_j) / C(x), and y_i = sum_j weights_ij v_j.

    Attributes:
        weights: the matrix (B, N, M) of query (B, N, D) and key (B, M, D), in float32 or better.
        operation: y (B, N, E) of query, key and value (B, M, E) without the matrix; None if only `weights` is known.
        multiply_adds: those of `operation` for one clip, of N, M, D and E.
        embeds: query and key are theta(x) and phi(x), of D channels; else they are x.
        scales: both functions take `scale`, a factor of the scores, as their last argument.
        additive: query (B, N) and key (B, M) are scores, the two terms of w_f . [theta(x_i), phi(x_j)].
    """

    weights: Callable[..., Tensor]
    operation: Callable[..., Tensor] | None = None
    multiply_adds: Callable[[int, int, int, int], int] = _explicit_multiply_adds
    embeds: bool = True
    scales: bool = False
    additive: bool = False

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, *, scale: float = 1.0) -> Tensor:
        """Return y (B, N, E): `operation`, or the product of `weights` and value within `explicit_forms`.

        Raise ValueError if a function without scale gets one, or if shapes or dtypes do not fit.
        """
        arguments = self._scale(scale)
        if self.operation is not None and not explicit_forms_required():
            return self.operation(query, key, value, **arguments)  # (B, N, E)
        query, key, value = (checked_scores if self.additive else checked_qkv)(query, key, value)
        with without_autocast(value):
            return reference.apply_weights(self.weights(query, key, **arguments), value)  # (B, N, E)

    def rows(self, query: Tensor, key: Tensor, positions: Tensor, *, scale: float = 1.0) -> Tensor:
        """Return the chosen rows (B, Q, M) of the matrix, without the others."""
        with without_autocast(query):
            return self.weights(query[:, positions], key, **self._scale(scale))  # (B, Q, M)

    def _scale(self, scale: float) -> dict[str, Any]:
        if not self.scales and scale != 1:
            raise ValueError(f"scale {scale}: this pairwise function has no softmax to scale the scores of")
        return {"scale": scale} if self.scales else {}


_SOFTMAX = {
    "weights": reference.softmax_weights,
    "operation": softmax.softmax_attention,
    "multiply_adds": softmax.multiply_adds,
    "scales": True,
}

PAIRWISE = {
    "gaussian": PairwiseFunction(**_SOFTMAX, embeds=False),  # Eq. 2 of Wang et al. 2018
    "embedded_gaussian": PairwiseFunction(**_SOFTMAX),  # Eq. 3
    "dot_product": PairwiseFunction(  # Eq. 4
        weights=reference.dot_product_weights,
        operation=dot_product.dot_product_attention,
        multiply_adds=dot_product.multiply_adds,
    ),
    "concatenation": PairwiseFunction(  # Eq. 5
        weights=reference.concatenation_weights,
        operation=concatenation.concatenation_attention,
        multiply_adds=concatenation.multiply_adds,
        additive=True,
    ),
}


def attention_weights(pairwise: str, query: Tensor, key: Tensor, positions: Tensor, scale: float = 1.0) -> Tensor:
    """Return f(x_i, x_j) / C(x) for the chosen query positions i: (B, Q, M), without the other rows.

    Args:
        pairwise: a name in `PAIRWISE`.
        query, key: what the operation takes: (B, N, D) and (B, M, D), or scores (B, N) and (B, M) if it is additive.
        positions: (Q,), indices into N, the same for every clip.
        scale: of the scores, for softmax only.
    """
    if pairwise not in PAIRWISE:
        *others, last = PAIRWISE
        raise ValueError(f"pairwise {pairwise!r}: expected {', '.join(others)} or {last}")
    return PAIRWISE[pairwise].rows(query, key, positions, scale=scale)  # (B, Q, M)
