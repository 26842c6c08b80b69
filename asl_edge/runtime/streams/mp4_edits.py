"""How long an MP4 or MOV file plays where its edit list hides a part: a clip trimmed on a phone keeps all frames in it.

The boxes are those of ISO/IEC 14496-12.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

_MOST_BOXES = 1_000
_LARGEST_INDEX = 2**26
"""Most bytes of the index (`moov`) that are read; an hour of video has about one million."""
_MOST_EDITS = 1_000
_NOTHING_SHOWN = -1
"""In place of a time in the media: the entry of an edit list is a pause."""


def shown_milliseconds(path: str | os.PathLike[str]) -> float | None:
    """Return how long the video in a file plays by its edit list, if that is shorter than its frames last.

    Args:
        path: of any file.

    Returns:
        None where nothing is hidden, and where the file is of another kind, or damaged.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123  (a Path of an odd text can raise)
            place, size = 0, os.fstat(file.fileno()).st_size
            for _ in range(_MOST_BOXES):
                file.seek(place)
                head = file.read(16)
                length = int.from_bytes(head[:4], "big")
                if length == 1:
                    length = int.from_bytes(head[8:16], "big")
                if head[4:8] == b"moov" and length <= min(_LARGEST_INDEX, size - place):
                    file.seek(place)
                    return _shown(file.read(length))
                if not 8 <= length <= size - place:
                    return None
                place += length
    except (OSError, ValueError, struct.error):
        pass
    return None


def _shown(index: bytes) -> float | None:
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
