"""Our checkpoints, other codebases' weights, and the weights that a network starts from."""

from nlvideo.checkpoint.convert import convert
from nlvideo.checkpoint.init_from import init_from
from nlvideo.checkpoint.native import build, check_same_network, load, read, record, save
from nlvideo.checkpoint.rebuild import add_import_argument, import_named_modules

__all__ = [
    "add_import_argument",
    "build",
    "check_same_network",
    "convert",
    "import_named_modules",
    "init_from",
    "load",
    "read",
    "record",
    "save",
]
