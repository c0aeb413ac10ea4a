"""The non-local operation with each query drawing on some frames only, or on all positions alike: lesions of attention.

Shapes: B clips, N query positions, M key positions, both frame after frame; T frames, D and E channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from nlvideo.ops.pairwise import PairwiseFunction
from nlvideo.ops.precision import widened


def attention_over_frames(
    function: PairwiseFunction,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    visible: Sequence[Sequence[int]],
    *,
    scale: float = 1.0,
    bias: Sequence[Tensor] = (),
) -> Tensor:
    """Return y (B, N, E) as if each query's frame saw its visible frames and the other positions were not there.

        y_i = 1 / C_i(x) sum_{j in A_i} f(x_i, x_j) g(x_j)        A_i: the positions j in visible[frame of i]

    C_i is C(x) over A_i alone: sum_{j in A_i} f for the softmax functions, the number of positions in A_i for the
    others. y_i = 0 if A_i is empty. The operation itself is called for the queries of one frame after the other, so
    memory is no more than without the restriction.

    Args:
        function: an entry of `PAIRWISE`.
        query, key, value: (B, N, D), (B, M, D), (B, M, E); query (B, N) and key (B, M) if the function is additive.
        visible: for each of the T frames, the frames that its queries see.
        scale: of the scores, for softmax only.
        bias: of positions, for softmax only (`nlvideo.ops.position_bias`); its first axis is time.
    """
    num_frames = len(visible)
    queries, keys, values = (x.unflatten(1, (num_frames, -1)) for x in (query, key, value))  # (B, T, N / T, ..)
    y = []
    for t, frames in enumerate(visible):
        if frames:
            chosen = torch.tensor(frames, device=value.device)
            keys_seen, values_seen = (x.index_select(1, chosen).flatten(1, 2) for x in (keys, values))
            seen = [bias[0][t : t + 1, chosen], *bias[1:]] if bias else ()  # (1, T'), (H, H'), (W, W')
            y.append(function(queries[:, t], keys_seen, values_seen, scale=scale, bias=seen))  # (B, N / T, E)
        else:
            y.append(value.new_zeros(len(value), queries.shape[2], value.shape[2]))
    return torch.cat(y, dim=1)  # (B, N, E)


def uniform_attention(
    function: PairwiseFunction, query: Tensor, key: Tensor, value: Tensor, *, scale: float = 1.0
) -> Tensor:
    """Return y (B, N, E) with each query's weights replaced by their mean, so that it draws on all positions alike.

        y_i = (1 / C(x) sum_j f(x_i, x_j)) (1 / M sum_j g(x_j))

    For the softmax functions the first factor is 1.

    Args: see `attention_over_frames`.
    """
    total = function(query, key, value.new_ones(*value.shape[:2], 1), scale=scale)  # (B, N, 1)
    return total * widened(value).mean(dim=1, keepdim=True).to(value.dtype)  # (B, N, E)
