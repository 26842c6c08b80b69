"""What the boxes of an MP4 or MOV file tell: whether its index is there, and how long it plays.

A clip that was trimmed on a phone keeps all frames in it; its edit list hides a part of them. The boxes are those of
ISO/IEC 14496-12.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

FIRST_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"skip", b"free")
"""Names of the box that a file begins with."""

_MOST_BOXES = 1_000
_LARGEST_INDEX = 2**26
"""Most bytes of the index (`moov`) that are read; an hour of video has about one million."""
_MOST_EDITS = 1_000
_NOTHING_SHOWN = -1
"""In place of a time in the media: the entry of an edit list is a pause."""


def lacks_index(path: str | os.PathLike[str]) -> bool:
    """Whether a file of the MP4 family has no whole index (`moov`), without which no frame can be found.

    Raises:
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123  (a Path of an odd text can raise)
        size = os.fstat(file.fileno()).st_size
        for place, length, name in _boxes_of(file, size):
            if place == 0 and name not in FIRST_BOXES:
                return False
            if name == b"moov":
                return place + length > size
    return True


def shown_milliseconds(path: str | os.PathLike[str]) -> float | None:
    """Return how long the video in a file plays by its edit list, if that is shorter than its frames last.

    Args:
        path: of any file.

    Returns:
        None where nothing is hidden, and where the file is of another kind, or damaged.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123  (a Path of an odd text can raise)
            size = os.fstat(file.fileno()).st_size
            for place, length, name in _boxes_of(file, size):
                if not 8 <= length <= size - place:
                    return None
                if name == b"moov" and length <= _LARGEST_INDEX:
                    file.seek(place)
                    return _shown_of(file.read(length))
    except (OSError, ValueError, struct.error):  # of another kind, or damaged: decoding says so better
        return None
    return None


def _boxes_of(file: BinaryIO, size: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield place, length and name of each box of a file, the one that does not fit into it included."""
    place = 0
    for _ in range(_MOST_BOXES):
        if place >= size:
            return
        file.seek(place)
        head = file.read(16)
        if len(head) < 8:
            return
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        yield place, length, name
        if length < 8:
            return
        place += length


def _shown_of(index: bytes) -> float | None:
    """Return the milliseconds of the first video that the index names, if its edit list hides a part of it."""
    (movie, movie_end), *_ = _boxes(index, 0, len(index), b"moov")
    per_second = [_clock(index, place) for place, _ in _boxes(index, movie, movie_end, b"mvhd")]
    for track, track_end in _boxes(index, movie, movie_end, b"trak"):
        for media, media_end in _boxes(index, track, track_end, b"mdia"):
            if all(index[place + 8 : place + 12] != b"vide" for place, _ in _boxes(index, media, media_end, b"hdlr")):
                break
            clocks = [_clock(index, place) for place, _ in _boxes(index, media, media_end, b"mdhd")]
            edits = [
                edit
                for outer, outer_end in _boxes(index, track, track_end, b"edts")
                for place, end in _boxes(index, outer, outer_end, b"elst")
                for edit in _edits(index, place, end)
            ]
            if not (edits and clocks and per_second and clocks[0][0] and per_second[0][0]):
                return None
            shown = 1000 * sum(edits) / per_second[0][0]
            lasts = 1000 * clocks[0][1] / clocks[0][0]
            return shown if 0 < shown < lasts else None
    return None


def _boxes(data: bytes, start: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    """Yield begin and end of the content of each box called `wanted` that lies directly between `start` and `end`."""
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        length, name = struct.unpack_from(">I4s", data, start)
        if not 8 <= length <= end - start:
            raise ValueError("a box does not fit into the one around it")
        if name == wanted:
            yield start + 8, start + length
        start += length


def _clock(data: bytes, place: int) -> tuple[int, int]:
    """Return units per second and the length in units, from the content of `mvhd` or `mdhd`."""
    units, length = struct.unpack_from(">20xIQ" if data[place] else ">12xII", data, place)
    return units, length


def _edits(data: bytes, place: int, end: int) -> Iterator[int]:
    """Yield the length of each part that an edit list shows, in units of the movie."""
    form = ">QqI" if data[place] else ">IiI"
    (count,) = struct.unpack_from(">I", data, place + 4)
    for number in range(min(count, _MOST_EDITS)):
        at = place + 8 + number * struct.calcsize(form)
        if at + struct.calcsize(form) > end:
            raise ValueError("an edit list is truncated")
        length, begin, _ = struct.unpack_from(form, data, at)
        if begin != _NOTHING_SHOWN:
            yield length
