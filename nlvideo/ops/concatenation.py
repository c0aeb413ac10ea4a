"""Concatenation attention in the time of a sort.

Shapes: B clips, N query positions, M key positions, E channels, W channels of one slice.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from nlvideo.ops import reference
from nlvideo.ops.forms import concatenation_form, limits
from nlvideo.ops.inputs import checked_scores
from nlvideo.ops.layout import empty_like


def concatenation_attention(query_score: Tensor, key_score: Tensor, value: Tensor) -> Tensor:
    """Return y_i = 1/M sum_j relu(a_i + b_j) g_j: (B, N), (B, M), (B, M, E) -> (B, N, E).

    Eq. 5 of Wang et al. 2018. Its f(x_i, x_j) = relu(w_f . [theta(x_i), phi(x_j)]) is relu(a_i + b_j) with
    a = w_1 . theta and b = w_2 . phi, the two halves of w_f. A pair counts only if b_j > -a_i. Let A_i be
    the keys that count for query i; then relu is the identity, and a_i leaves the sum:

        M y_i = sum_{j in A_i} (a_i + b_j) g_j = a_i sum_{j in A_i} g_j + sum_{j in A_i} b_j g_j.

    Sort the keys by b, largest first. Then every A_i is a prefix of one list, b_(1) ... b_(c_i), and one
    binary search finds its length c_i. With the running sums

        G_c = sum_{r <= c} g_(r),    H_c = sum_{r <= c} b_(r) g_(r),    G_0 = H_0 = 0,

    the answer is a look-up in two tables: M y_i = a_i G_{c_i} + H_{c_i}. It is exact, and no pair was formed.

    The gradients, with h = dL/dy, follow in the same way:

        M dL/da_i = sum_{j in A_i} g_j . h_i      = G_{c_i} . h_i
        M dL/db_j = sum_{i: j in A_i} g_j . h_i   = g_j . sum_{i: j in A_i} h_i
        M dL/dg_j = sum_{i: j in A_i} (a_i + b_j) h_i = b_j sum_{i: j in A_i} h_i + sum_{i: j in A_i} a_i h_i

    and j in A_i means a_i > -b_j, so the last two take running sums of h and a h over the queries sorted
    by a. At a tie, a_i + b_j = 0 exactly, j is not in A_i: relu is 0 there, and so is its derivative, as
    PyTorch defines it.

        explicit    N M E multiply-adds forward, 2 N M E backward               3 N M numbers in memory
        sorted      3 (N + M) E operations forward, 6 (N + M) E backward,       O(N + M) beside the results,
                    and O((N + M) log(N + M)) comparisons                       a slice of channels at a time

    Sums are in float64 for every input, under autocast too, because a_i G + H cancels if scores are large and nearly
    opposite. Small problems take the explicit form; its matrix has at most 512 max(N, M) entries. The choice depends on
    the shapes alone, so asking for gradients does not change the values. The sorted form has no second derivative:
    asking for one is an error. Raise ValueError if shapes or dtypes do not fit.
    """
    query_score, key_score, value = checked_scores(query_score, key_score, value)
    n, m = query_score.shape[1], key_score.shape[1]
    if concatenation_form(n, m, value.dtype, value.device).form == "explicit":
        return reference.concatenation_attention(query_score, key_score, value)  # (B, N, E)
    return _sorted(query_score, key_score, value)  # (B, N, E)


def multiply_adds(n: int, m: int, d: int, e: int) -> int:
    """Return the multiply-adds of one clip in the sorted form; D is not in it, since queries and keys are scores."""
    return 3 * (n + m) * e


class _Active(NamedTuple):
    """For each a the keys that count: those with b > -a, which are the first `count` in falling order."""

    b: Tensor  # (B, 1, M), falling
    order: Tensor  # (B, 1, M), their indices before the sort
    count: Tensor  # (B, 1, N)

    @classmethod
    def find(cls, a: Tensor, b: Tensor) -> "_Active":
        """(B, 1, N), (B, 1, M)."""
        falling, order = b.sort(dim=2, descending=True, stable=True)  # (B, 1, M)
        return cls(falling, order, count=torch.searchsorted(-falling, a.contiguous()))  # (B, 1, N)

    def sort(self, x: Tensor) -> Tensor:
        return x.gather(2, self.order.expand(x.shape))  # (B, W, M)

    def sum(self, x: Tensor) -> Tensor:
        """Return for each a the sum of the sorted x over its keys: (B, W, M) -> (B, W, N) in float64."""
        batch, width, positions = x.shape
        sums = x.new_empty(batch, width, 1 + positions, dtype=torch.float64)  # (B, W, 1 + M)
        sums[:, :, 0] = 0
        torch.cumsum(x, dim=2, dtype=torch.float64, out=sums[:, :, 1:])
        return sums.gather(2, self.count.expand(-1, width, -1))  # (B, W, N)


# An operator of our own, so that torch.compile keeps it whole and autograd takes the backward below.
@torch.library.custom_op("nlvideo::concatenation_attention", mutates_args=())
def _sorted(query_score: Tensor, key_score: Tensor, value: Tensor) -> Tensor:
    out = empty_like(value, query_score.shape[1], value.shape[2])  # (B, N, E)
    a, b = query_score.double()[:, None], key_score.double()[:, None]  # (B, 1, N), (B, 1, M)
    keys = _Active.find(a, b)
    for channels in _slices(a, b, value):
        g = keys.sort(_positions_last(value, channels))  # (B, W, M)
        sum_g, sum_bg = keys.sum(g), keys.sum(keys.b * g)  # (B, W, N)
        out[:, :, channels] = sum_bg.addcmul_(a, sum_g).div_(b.shape[2]).transpose(1, 2)
    return out


@torch.library.custom_op("nlvideo::concatenation_attention_backward", mutates_args=())
def _sorted_backward(
    grad: Tensor, query_score: Tensor, key_score: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    grad_value = empty_like(value, *value.shape[1:])  # (B, M, E)
    a, b = query_score.double()[:, None], key_score.double()[:, None]  # (B, 1, N), (B, 1, M)
    grad_a, grad_b = torch.zeros_like(a[:, 0]), torch.zeros_like(b[:, 0])  # (B, N), (B, M)
    keys, queries = _Active.find(a, b), _Active.find(b, a)
    for channels in _slices(a, b, value):
        h, g = _positions_last(grad, channels), _positions_last(value, channels)  # (B, W, N), (B, W, M)
        grad_a += keys.sum(keys.sort(g)).mul_(h).sum(1)
        h = queries.sort(h)
        sum_h, sum_ah = queries.sum(h), queries.sum(queries.b * h)  # (B, W, M); a is the b of the queries
        grad_b += (sum_h * g).sum(1)
        grad_value[:, :, channels] = sum_ah.addcmul_(b, sum_h).div_(b.shape[2]).transpose(1, 2)
    grad_a, grad_b = grad_a / b.shape[2], grad_b / b.shape[2]
    return grad_a.to(query_score.dtype), grad_b.to(key_score.dtype), grad_value


def _slices(a: Tensor, b: Tensor, value: Tensor) -> list[slice]:
    width = max(1, limits(value.device).slice_numbers // max(1, a.numel() + b.numel()))
    return [slice(start, start + width) for start in range(0, value.shape[2], width)]


def _positions_last(x: Tensor, channels: slice) -> Tensor:
    """(B, P, E) -> (B, W, P), contiguous, because running sums read positions in order."""
    return x[:, :, channels].transpose(1, 2).contiguous()


@register_flop_formula(torch.ops.nlvideo.concatenation_attention)
def _flops(query: torch.Size, key: torch.Size, value: torch.Size, **_) -> int:
    (b, n), (_, m, e) = query, value
    return 2 * b * multiply_adds(n, m, 0, e)


@_sorted.register_fake
def _empty_out(query_score: Tensor, key_score: Tensor, value: Tensor) -> Tensor:
    return empty_like(value, query_score.shape[1], value.shape[2])  # (B, N, E)


@_sorted_backward.register_fake
def _empty_grads(grad: Tensor, query_score: Tensor, key_score: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    grad_a, grad_b = query_score.new_empty(query_score.shape), key_score.new_empty(key_score.shape)
    return grad_a, grad_b, empty_like(value, *value.shape[1:])


def _setup_context(ctx, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _sorted_backward(grad, *ctx.saved_tensors)


_sorted.register_autograd(_backward, setup_context=_setup_context)
