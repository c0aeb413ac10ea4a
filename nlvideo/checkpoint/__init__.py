"""Our checkpoints, other codebases' weights, and the weights that a network starts from."""

from nlvideo.checkpoint.convert import convert
from nlvideo.checkpoint.init_from import init_from
from nlvideo.checkpoint.native import build, check_same_network, load, read, record, save

__all__ = [
    "build",
    "check_same_network",
    "convert",
    "init_from",
    "load",
    "read",
    "record",
    "save",
]
