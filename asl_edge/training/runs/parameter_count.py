"""The number of parameters of a stored network, without loading it."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

from asl_edge.files.bounded_zip import open_zip

_LARGEST_DIRECTORY = 2**20


def count_parameters(path: Path) -> int | None:
    """Count the parameters in a `.keras` file, which is a zip that holds an HDF5 file.

    None where h5py is not installed (it comes with Keras) or the file is not as expected.
    """
    try:
        import h5py
    except ImportError:
        return None
    count = 0

    def add(name: str, item: object) -> None:
        nonlocal count
        # Stored next to the weights: states of seed generators, and of an optimizer if there is one.
        if isinstance(item, h5py.Dataset) and "/seed_generator" not in name and not name.startswith("optimizer/"):
            count += item.size

    try:
        with path.open("rb") as file, h5py.File(_stored_member(file, "model.weights.h5"), "r") as weights:
            weights.visititems(add)
    except (OSError, ValueError, KeyError, struct.error):
        return None
    return count


def _stored_member(file: io.BufferedReader, name: str) -> _Part:
    """Return a member of a zip as a seekable file; Keras does not compress them.

    Python's own `ZipFile.open` reads everything that a seek skips, which takes a second for AlexNet.
    """
    with open_zip(file, _LARGEST_DIRECTORY) as archive:
        member = archive.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    file.seek(member.header_offset)
    header = file.read(30)  # of the member itself; ends with the lengths of its name and of an extra field
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    return _Part(file, member.header_offset + 30 + name_length + extra_length, member.file_size)


class _Part(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, file: io.BufferedReader, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._at)
        data = self._file.read(max(0, min(len(buffer), self._size - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
