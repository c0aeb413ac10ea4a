"""Frames of a video by number: one reader per decoder behind one interface, `Video`."""

from nlvideo.data.video.reader import CHUNK, Box, Prepare, Reader, ReadError
from nlvideo.data.video.video import READERS, DecodeError, Decoder, Video, check_decoder

__all__ = [
    "CHUNK",
    "READERS",
    "Box",
    "DecodeError",
    "Decoder",
    "Prepare",
    "ReadError",
    "Reader",
    "Video",
    "check_decoder",
]
