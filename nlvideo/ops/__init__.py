"""The non-local operation y_i = 1/C(x) sum_j f(x_i, x_j) g(x_j) at any size: tensors in, tensors out.

`PAIRWISE` is the table of pairwise functions f. `softmax_attention`, `dot_product_attention` and
`concatenation_attention` compute those of Wang et al. 2018 in memory linear in the number of positions; `reference`
holds the same three as the paper writes them, with the N x M matrix, and `explicit_forms` makes every operation take
that form. `explain` says which form is taken and why. `attention_weights` gives chosen rows of the matrix;
`attention_over_frames` and `uniform_attention` restrict it.
"""

from nlvideo.ops.concatenation import concatenation_attention
from nlvideo.ops.dot_product import dot_product_attention
from nlvideo.ops.forms import explain, explicit_forms, explicit_forms_required
from nlvideo.ops.frames import attention_over_frames, uniform_attention
from nlvideo.ops.pairwise import PAIRWISE, PairwiseFunction, attention_weights
from nlvideo.ops.softmax import softmax_attention

__all__ = [
    "PAIRWISE",
    "PairwiseFunction",
    "attention_over_frames",
    "attention_weights",
    "concatenation_attention",
    "dot_product_attention",
    "explain",
    "explicit_forms",
    "explicit_forms_required",
    "softmax_attention",
    "uniform_attention",
]
