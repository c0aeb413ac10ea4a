"""What the header of an .mp4, .mov, .mkv or .webm file says of its video, read in a fraction of a millisecond.

It tells whether the frames of the file are exactly its samples in the order of their times. They are not if an edit
list cuts some away (``ffmpeg -ss .. -c copy`` writes those) or if the picture is stored rotated.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, chain, islice, repeat
from pathlib import Path

MAX_HEADER = 1 << 26  # bytes; longer ones are not looked at
FIRST_SAMPLES = 64  # enough to find the first one shown
IDENTITY = (1 << 16, 0, 0, 0, 1 << 16)  # a, b, u, c, d of a display matrix that turns nothing
MP4_CODECS = {"avc1": "h264", "avc3": "h264", "vp08": "vp8", "vp09": "vp9"}
SEGMENT, TRACKS, TRACK_TYPE = b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\x83"  # ids of Matroska's elements
CODEC_ID, VIDEO, PIXEL_WIDTH, PIXEL_HEIGHT, PROJECTION = b"\x86", b"\xe0", b"\xb0", b"\xba", b"\x76\x70"
MATROSKA_CODECS = {"V_MPEG4/ISO/AVC": "h264", "V_VP8": "vp8", "V_VP9": "vp9"}


@dataclass(frozen=True)
class Header:
    """The only video track of a file.

    Attributes:
        codec: h264, vp8 or vp9, else the file's own name of it.
        is_plain: every sample is a frame, and none is turned.
        size: height and width as stored, in pixels; None if they were not found.
    """

    codec: str
    is_plain: bool
    size: tuple[int, int] | None


def read_header(path: Path) -> Header | None:
    """Return the header; None if it is of another kind, damaged, or not of exactly one video track.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(1 << 16)
        if start[:4] == b"\x1a\x45\xdf\xa3":
            return _matroska(start)
        if start[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return None
        end = file.seek(0, 2)
        place = 0
        while place + 8 <= end:
            file.seek(place)
            box = file.read(16)
            size, kind = struct.unpack_from(">I4s", box)
            if size == 1 and len(box) == 16:
                (size,) = struct.unpack_from(">Q", box, 8)
            size = size or end - place
            if kind == b"moov":
                file.seek(place + 8)
                try:
                    return _mp4(memoryview(file.read(min(size - 8, MAX_HEADER))))
                except (struct.error, KeyError, IndexError, ZeroDivisionError):
                    return None
            if size < 8:
                return None
            place += size
    return None


def _matroska(start: bytes) -> Header | None:
    segment = dict(_elements(start)).get(SEGMENT, b"")
    tracks = [dict(_elements(content)) for kind, content in _elements(dict(_elements(segment)).get(TRACKS, b""))]
    videos = [track for track in tracks if track.get(TRACK_TYPE) == b"\x01"]
    if len(videos) != 1:
        return None
    codec = videos[0].get(CODEC_ID, b"").rstrip(b"\0").decode("latin-1")
    picture = dict(_elements(videos[0].get(VIDEO, b"")))
    height, width = [int.from_bytes(picture.get(side, b""), "big") for side in (PIXEL_HEIGHT, PIXEL_WIDTH)]
    is_plain = PROJECTION not in picture  # which may turn the picture
    return Header(MATROSKA_CODECS.get(codec, codec), is_plain, (height, width) if height and width else None)


def _elements(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield id and content of each EBML element (RFC 8794); the last one may be cut off."""
    place = 0
    while place < len(data) and data[place]:
        id_end = place + 9 - data[place].bit_length()  # as many bytes as there are zero bits before the first one bit
        if id_end >= len(data) or not data[id_end]:
            return
        length = 9 - data[id_end].bit_length()
        number = int.from_bytes(data[id_end : id_end + length], "big")
        size = number ^ 1 << 7 * length  # without the bit that marks the length
        first = id_end + length
        end = len(data) if size == (1 << 7 * length) - 1 else first + size  # all ones: to the end
        yield data[place:id_end], data[first:end]
        place = end


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield kind and content of each box."""
    place = 0
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        if size < 8:
            return
        yield kind, data[place + 8 : place + size]
        place += size


def _mp4(moov: memoryview) -> Header | None:
    movie = dict(_boxes(moov))
    tracks = [dict(_boxes(content)) for kind, content in _boxes(moov) if kind == b"trak"]
    media = [(track, dict(_boxes(track[b"mdia"]))) for track in tracks]
    media = [(track, boxes) for track, boxes in media if boxes[b"hdlr"][8:12] == b"vide"]
    if len(media) != 1:
        return None
    track, boxes = media[0]
    table = dict(_boxes(dict(_boxes(boxes[b"minf"]))[b"stbl"]))  # of samples
    formats = table[b"stsd"]
    codec = bytes(formats[12:16]).decode("latin-1")
    matrix = struct.unpack_from(">5i", track[b"tkhd"], 52 if track[b"tkhd"][0] else 40)
    edits = dict(_boxes(track.get(b"edts", memoryview(b"")))).get(b"elst")
    is_plain = (
        struct.unpack_from(">I", formats, 4) == (1,)
        and matrix == IDENTITY
        and (edits is None or _shows_all(edits, _scale(movie[b"mvhd"]), _scale(boxes[b"mdhd"]), table))
    )
    width, height = struct.unpack_from(">HH", formats, 40)
    return Header(MP4_CODECS.get(codec, codec), is_plain, (height, width) if height and width else None)


def _scale(box: memoryview) -> int:
    """Return the units per second of an mvhd or mdhd box."""
    return struct.unpack_from(">I", box, 20 if box[0] else 12)[0]


def _shows_all(edits: memoryview, movie_scale: int, scale: int, table: dict[bytes, memoryview]) -> bool:
    """Return whether an edit list shows every sample once: it has one part, from the first frame to the last."""
    entry = ">QqI" if edits[0] else ">IiI"  # length in the movie's units, start in the track's, rate
    parts = [*struct.iter_unpack(entry, edits[8 : 8 + struct.calcsize(entry) * struct.unpack_from(">I", edits, 4)[0]])]
    shown = [(length, start) for length, start, _ in parts if start != -1]  # an empty part delays the others
    if len(shown) != 1 or len(parts) > 2 or any(rate != 1 << 16 for *_, rate in parts):
        return False
    length, start = shown[0]
    runs = [*struct.iter_unpack(">II", table[b"stts"][8:])]  # (samples, units from one to the next)
    if not runs:
        return start == length == 0  # samples are in fragments
    delays = chain.from_iterable(repeat(d, n) for n, d in struct.iter_unpack(">Ii", table.get(b"ctts", b"")[8:]))
    times = accumulate(chain.from_iterable(repeat(step, n) for n, step in runs), initial=0)
    first = min((t + delay for t, delay in islice(zip(times, delays, strict=False), FIRST_SAMPLES)), default=0)
    last = first + sum(n * step for n, step in runs) - runs[-1][1]
    return start <= first and start + length * scale / movie_scale >= last + runs[-1][1] / 2
