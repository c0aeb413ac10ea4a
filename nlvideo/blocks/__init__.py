"""Attention blocks. The list of imports is the registry: a class named here is found by its short name in YAML."""

from nlvideo.blocks.base import Block
from nlvideo.blocks.dual_attention import ChannelAttention, DualAttention, PositionAttention
from nlvideo.blocks.non_local import NonLocal
from nlvideo.blocks.squeeze_excite import SqueezeExcite

__all__ = ["Block", "ChannelAttention", "DualAttention", "NonLocal", "PositionAttention", "SqueezeExcite"]
