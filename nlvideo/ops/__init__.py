"""The non-local operation y_i = 1/C(x) sum_j f(x_i, x_j) g(x_j) at any size: tensors in, tensors out.

`softmax_attention`, `dot_product_attention` and `concatenation_attention` compute the pairwise functions
of Wang et al. 2018 in memory linear in the number of positions. `reference` holds the same three as the
paper writes them, with the N x M matrix; `attention_weights` gives chosen rows of that matrix.
"""

from nlvideo.ops.concatenation import concatenation_attention
from nlvideo.ops.dot_product import dot_product_attention
from nlvideo.ops.reference import attention_weights
from nlvideo.ops.softmax import softmax_attention

__all__ = ["attention_weights", "concatenation_attention", "dot_product_attention", "softmax_attention"]
