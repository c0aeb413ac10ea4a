"""Our checkpoints, other codebases' weights, and what a network starts from."""

from nlvideo.checkpoint.convert import convert
from nlvideo.checkpoint.ours import build, check_same_network, load, read, record, save
from nlvideo.checkpoint.preprocessing import normalise
from nlvideo.checkpoint.start import init_from

__all__ = ["build", "check_same_network", "convert", "init_from", "load", "normalise", "read", "record", "save"]
