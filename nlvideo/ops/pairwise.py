"""The table of pairwise functions f(x_i, x_j). A new one is one entry here: every block, count and export finds it.

Shapes: B clips, N query positions, M key positions, Q chosen query positions, D and E channels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from nlvideo.ops import concatenation, dot_product, reference, softmax
from nlvideo.ops.forms import explicit_forms_required
from nlvideo.ops.inputs import checked_qkv, checked_scores, without_autocast
from nlvideo.ops.position_bias import bias_matrix, check_bias


def _explicit_multiply_adds(n: int, m: int, d: int, e: int) -> int:
    return n * m * (d + e)


@dataclass(frozen=True, kw_only=True)
class PairwiseFunction:
    """Contract: `normalise` maps scores s_ij to f(x_i, x_j) / C(x), and y_i is their sum over j with the values.

    Attributes:
        normalise: the equation: (B, N, M) -> (B, N, M), float32 or better. s_ij is the inner product of query i and
            key j, or their sum if the function is additive.
        operation: y (B, N, E) of query (B, N, D), key (B, M, D) and value (B, M, E) without the matrix; None if there
            is only the equation.
        multiply_adds: those of `operation` for one clip, of N, M, D and E.
        embeds: query and key are theta(x) and phi(x), of D channels; else they are x.
        is_softmax: `operation` takes `scale`, a factor of the scores, and `bias`, which is added to them for each pair
            of positions (`nlvideo.ops.position_bias`).
        additive: query (B, N) and key (B, M) are scores, the two terms of w_f . [theta(x_i), phi(x_j)].
    """

    normalise: Callable[[Tensor], Tensor]
    operation: Callable[..., Tensor] | None = None
    multiply_adds: Callable[[int, int, int, int], int] = _explicit_multiply_adds
    embeds: bool = True
    is_softmax: bool = False
    additive: bool = False

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *, scale: float = 1.0, bias: Sequence[Tensor] = ()
    ) -> Tensor:
        """Return y (B, N, E) by `operation`, or by the equation within `explicit_forms`.

        Raise ValueError if a function without softmax gets a scale or a bias, or if shapes or dtypes do not fit.
        """
        self._check(scale, bool(bias))
        if self.operation is not None and not explicit_forms_required():
            return self.operation(query, key, value, *([scale, bias] if self.is_softmax else []))  # (B, N, E)
        return self.explicit(query, key, value, scale=scale, bias=bias)  # (B, N, E)

    def explicit(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        scale: float = 1.0,
        key_bias: Tensor | None = None,
        bias: Sequence[Tensor] = (),
    ) -> Tensor:
        """Return y (B, N, E) by the equation, with the matrix in memory; see `weights`."""
        query, key, value = (checked_scores if self.additive else checked_qkv)(query, key, value)
        check_bias(bias, query.shape[1], key.shape[1])
        with without_autocast(value):
            matrix = bias_matrix(bias)  # (N, M)
            weights = self.weights(query, key, scale=scale, key_bias=key_bias, bias=matrix)  # (B, N, M)
            return reference.apply_weights(weights, value)  # (B, N, E)

    def weights(
        self,
        query: Tensor,
        key: Tensor,
        *,
        scale: float = 1.0,
        key_bias: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Return f / C(x) (B, N, M), in float32 or better.

        `key_bias` (B, M) is added to the inner products, and `bias` (N, M) to the scaled ones.
        """
        self._check(scale, bias is not None)
        with without_autocast(query):
            if self.additive:
                return self.normalise(reference.sums(query, key))  # (B, N, M)
            scores = reference.inner_products(query, key, key_bias)  # (B, N, M)
            return self.normalise(reference.biased(scores if scale == 1 else scale * scores, bias))  # (B, N, M)

    def cheapest_order(self, n: int, m: int, c: int, d: int) -> tuple[bool, bool]:
        """Return whether a block applies theta to its keys, and W_z to its values, for the fewest multiply-adds.

        Theta (C to D) and W_z (D to C) are linear, so they may move over to the M keys and values, which are fewer than
        the N queries if subsampled. Theta moves only together with W_z, through a matrix N x M in memory, and only if
        M <= 2 C, so the matrix is at most twice the size of x. Within `explicit_forms` neither moves.
        """
        if explicit_forms_required():
            return False, False
        projects = self.embeds and not self.additive  # scores of an additive function take a product with a vector
        theta, d_query = n * c * d if projects else 0, d if self.embeds else c
        costs = {
            (False, False): theta + self.multiply_adds(n, m, d_query, d) + n * c * d,
            (False, True): theta + self.multiply_adds(n, m, d_query, c) + m * c * d,
        }
        if projects and m <= 2 * c:
            costs[True, True] = 2 * m * c * d + 2 * n * m * c
        return min(costs, key=costs.get)

    def _check(self, scale: float, has_bias: bool) -> None:
        if not self.is_softmax and scale != 1:
            raise ValueError(f"scale {scale}: this pairwise function has no softmax to scale the scores of")
        if not self.is_softmax and has_bias:
            raise ValueError("bias: this pairwise function has no softmax to add a bias of positions to the scores of")


_SOFTMAX = {
    "normalise": reference.softmax,
    "operation": softmax.softmax_attention,
    "multiply_adds": softmax.multiply_adds,
    "is_softmax": True,
}

PAIRWISE = {
    "gaussian": PairwiseFunction(**_SOFTMAX, embeds=False),  # Eq. 2 of Wang et al. 2018
    "embedded_gaussian": PairwiseFunction(**_SOFTMAX),  # Eq. 3
    "dot_product": PairwiseFunction(  # Eq. 4
        normalise=reference.mean,
        operation=dot_product.dot_product_attention,
        multiply_adds=dot_product.multiply_adds,
    ),
    "concatenation": PairwiseFunction(  # Eq. 5
        normalise=reference.relu_mean,
        operation=concatenation.concatenation_attention,
        multiply_adds=concatenation.multiply_adds,
        additive=True,
    ),
}


def attention_weights(
    pairwise: str, query: Tensor, key: Tensor, positions: Tensor, scale: float = 1.0, bias: Sequence[Tensor] = ()
) -> Tensor:
    """Return f(x_i, x_j) / C(x) for the chosen query positions i: (B, Q, M), without the other rows.

    Args:
        pairwise: a name in `PAIRWISE`.
        query, key: what the operation takes: (B, N, D) and (B, M, D), or scores (B, N) and (B, M) if it is additive.
        positions: (Q,), indices into N, the same for every clip.
        scale: of the scores, for softmax only.
        bias: of pairs of positions, a matrix for each axis of the grid, for softmax only.
    """
    if pairwise not in PAIRWISE:
        *others, last = PAIRWISE
        raise ValueError(f"pairwise {pairwise!r}: expected {', '.join(others)} or {last}")
    check_bias(bias, query.shape[1], key.shape[1])
    rows = bias_matrix(bias, positions)  # (Q, M)
    return PAIRWISE[pairwise].weights(query[:, positions], key, scale=scale, bias=rows)  # (B, Q, M)
