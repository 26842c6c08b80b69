"""Array files (.npy, .npz) that other people may have written: numbers and text only, never larger than they say.

NumPy's own reader evaluates the header as Python, unpacks members of any size, and raises a dozen kinds of errors.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from asl_edge.files.bounded_zip import open_zip, read_member
from asl_edge.files.regular_file import open_regular

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 4096
_MOST_AXES = 8
_HEADER = re.compile(
    r"\{\s*'descr':\s*'([<>|=]?[biufU]\d{1,5})',\s*'fortran_order':\s*(True|False),"
    r"\s*'shape':\s*\(([\dL, ]{0,200})\),?\s*\}\s*"
)
_EXTENT = re.compile(r"\d{1,18}")
_DIRECTORY = 64 * 2**10
"""Most bytes of the directory of a .npz."""


@dataclass(frozen=True)
class NpyHeader:
    """What a .npy file says of its array."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    begin: int
    """Position of the first number in the file."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def order(self) -> str:
        """`F` or `C`, as NumPy names the order of the axes in memory."""
        return "F" if self.fortran_order else "C"


def read_header(file: IO[bytes]) -> NpyHeader:
    """Read the header of a .npy file from its beginning.

    Raises:
        ValueError: it is not one, or of a type that is neither numbers nor text.
        OSError: it cannot be read.
    """
    start = file.read(12)
    if len(start) < 12 or start[:6] != _MAGIC or start[6] not in (1, 2, 3):
        raise ValueError("it is not a .npy file")
    begin = 10 if start[6] == 1 else 12
    (length,) = struct.unpack("<H", start[8:10]) if start[6] == 1 else struct.unpack("<I", start[8:12])
    if length > _LONGEST_HEADER:
        raise ValueError("its header is too long")
    header = start[begin:] + file.read(length - (12 - begin))
    if len(header) != length:
        raise ValueError("it is truncated")
    match = _HEADER.fullmatch(header.decode("latin-1"))
    if match is None:
        raise ValueError("its header does not describe an array of numbers or text")
    extents = [extent.strip().removesuffix("L") for extent in match[3].removesuffix(",").split(",") if match[3]]
    if len(extents) > _MOST_AXES or not all(map(_EXTENT.fullmatch, extents)):
        raise ValueError(f"its shape is not that of an array of at most {_MOST_AXES} axes")
    shape = tuple(map(int, extents))
    try:
        dtype = np.dtype(match[1])
    except TypeError as error:
        raise ValueError(f"it has the unknown type {match[1]}") from error
    return NpyHeader(dtype, shape, match[2] == "True", begin + length)


def parse_npy(content: bytes) -> npt.NDArray[Any]:
    """Return the array of a .npy file, read-only.

    Raises:
        ValueError: it is not one, or holds another number of bytes than its header says.
    """
    header = read_header(io.BytesIO(content))
    if len(content) - header.begin != header.size_bytes:
        raise ValueError(f"it holds {len(content) - header.begin} bytes instead of {header.size_bytes}")
    if not header.size_bytes:
        return np.empty(header.shape, header.dtype)
    numbers = np.frombuffer(content, header.dtype, offset=header.begin)
    if header.dtype.kind == "U":
        number = np.dtype(np.uint32).newbyteorder(header.dtype.byteorder)
        characters = np.frombuffer(content, number, offset=header.begin)
        if characters.max() > sys.maxunicode:
            raise ValueError("its text holds what is no character")
    return numbers.reshape(header.shape, order="F" if header.fortran_order else "C")


def map_npy(path: str | os.PathLike[str]) -> npt.NDArray[Any]:
    """Return the array of a .npy file as a read-only memory map; an empty one is in memory.

    Raises:
        OSError: it is missing, not a regular file, or cannot be read.
        ValueError: it is not a .npy file, holds text, or is truncated.
    """
    with open_regular(path) as file:
        header = read_header(file)
        if header.dtype.kind == "U":
            raise ValueError("it holds text")
        held = os.fstat(file.fileno()).st_size - header.begin
        if held < header.size_bytes:
            raise ValueError(f"it holds {held} bytes instead of {header.size_bytes}")
        if not header.size_bytes:  # an empty file cannot be mapped
            return np.empty(header.shape, header.dtype)
        return np.memmap(file, header.dtype, "r", header.begin, header.shape, "F" if header.fortran_order else "C")


def read_npz(
    path: str | os.PathLike[str], largest: Mapping[str, int], largest_file: int
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a .npz file.

    Args:
        path: the file.
        largest: most bytes of each array by its name; a file with other arrays is refused.
        largest_file: most bytes of the file.

    Raises:
        OSError: it is missing, not a regular file, or cannot be read.
        ValueError: it is not a .npz file, is damaged, or is not as it must be.
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > largest_file:
            raise ValueError(f"it is larger than {largest_file / 1e6:.0f} MB")
        arrays: dict[str, npt.NDArray[Any]] = {}
        with open_zip(file, _DIRECTORY) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name not in largest or name in arrays:
                    raise ValueError("it holds other arrays than it must")
                arrays[name] = parse_npy(_content(archive, member, largest[name] + _LONGEST_HEADER))
    return arrays


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    if member.file_size > most:
        raise ValueError(f"an array has {member.file_size / 1e6:.0f} MB, {most / 1e6:.0f} at most")
    return read_member(archive, member)
