"""Checks of what the operations are given, and the dtype that autocast asks for.

Shapes: B clips, N query positions, M key positions, D and E channels.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

# Asked once: torch.compile cannot trace the question in torch 2.11.
AUTOCAST_DEVICES = {name for name in ("cpu", "cuda", "mps", "xpu") if torch.amp.is_autocast_available(name)}


def checked_qkv(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (B, N, D), (B, M, D), (B, M, E) in the dtype to compute in. Raise ValueError if they do not fit."""
    query, key, value = _autocast(query, key, value)
    _require(
        query.ndim == key.ndim == value.ndim == 3
        and query.shape[0] == key.shape[0] == value.shape[0]
        and query.shape[2] == key.shape[2]
        and key.shape[1] == value.shape[1] > 0,
        "query (B, N, D), key (B, M, D), value (B, M, E)",
        query=query,
        key=key,
        value=value,
    )
    return query, key, value


def checked_scores(query_score: Tensor, key_score: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (B, N), (B, M), (B, M, E) in the dtype to compute in. Raise ValueError if they do not fit."""
    query_score, key_score, value = _autocast(query_score, key_score, value)
    _require(
        query_score.ndim == key_score.ndim == 2
        and value.ndim == 3
        and query_score.shape[0] == key_score.shape[0] == value.shape[0]
        and key_score.shape[1] == value.shape[1] > 0,
        "query_score (B, N), key_score (B, M), value (B, M, E)",
        query_score=query_score,
        key_score=key_score,
        value=value,
    )
    return query_score, key_score, value


def without_autocast(x: Tensor) -> AbstractContextManager:
    """Switch autocast off on the device of x, so that float32 scores stay float32."""
    return torch.autocast(x.device.type, enabled=False) if _autocast_enabled(x) else nullcontext()


def _autocast_enabled(x: Tensor) -> bool:
    device = x.device.type
    return device in AUTOCAST_DEVICES and torch.is_autocast_enabled(device)


def _autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Cast as autocast casts the inputs of a matmul: it cannot see into our own operators.

    Float64 stays as it is; integers do too, and are refused by the check.
    """
    if not _autocast_enabled(tensors[0]):
        return tensors
    dtype = torch.get_autocast_dtype(tensors[0].device.type)
    return tuple(t.to(dtype) if t.is_floating_point() and t.dtype != torch.float64 else t for t in tensors)


def _require(shapes_fit: bool, expected: str, **tensors: Tensor) -> None:
    dtypes = {t.dtype for t in tensors.values()}
    if shapes_fit and len(dtypes) == 1 and all(dtype.is_floating_point for dtype in dtypes):
        return
    received = ", ".join(f"{name} {tuple(t.shape)} {t.dtype}" for name, t in tensors.items())
    raise ValueError(
        f"expected {expected} with the same B, M and D, at least one key position (M > 0) "
        f"and one floating-point dtype; got {received}"
    )
