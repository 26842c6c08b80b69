"""What comes on standard input: a list of paths, one per line or with NUL bytes between them, or one image itself."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from asl_edge.imaging.file_kind import kind_of
from asl_edge.imaging.preprocess import MAX_FILE_BYTES
from asl_edge.runtime.streams.item import STANDARD_INPUT, Item

_BLOCK = 1 << 16
_LONGEST_NAME = 32_768
_ENOUGH = 16
"""As many bytes tell an image from a list."""

_SEPARATOR = re.compile(rb"[\0\n]")
_BINARY = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
_MAY_BE_IMAGE = re.compile(rb"[\xff\x89\0]|P[56][ \t\r\n]|(?:II|MM|GIF8|RIFF|BM)[^\n]*\0")
"""What a few bytes of an image match, and hardly ever a list that comes byte by byte."""

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def named_on(stream: Any) -> Iterator[Item | str]:
    """Yield the paths on a stream as they come, or one item: the image that it holds, or why it holds neither.

    Lines may end as Windows writes them, and the text may begin with a byte order mark (UTF-8 or UTF-16, as
    PowerShell writes it). Where a NUL byte comes before the first line end (`find -print0`), NUL bytes alone separate.

    Args:
        stream: `sys.stdin`, another file of bytes or text, or lines of text; None for a process without one.
    """
    if stream is None:
        yield Item(STANDARD_INPUT, problem="there is no standard input")
        return
    blocks = _blocks(stream)
    begin = _begin(blocks)
    kind = kind_of(begin)
    if kind != "other" and not _is_text(begin):
        yield (
            _image(begin, blocks)
            if kind != "video"
            else Item(STANDARD_INPUT, problem="a video; save it as a file, and name that")
        )
        return
    encoding = _encoding(stream)
    for mark, marked in _BYTE_ORDER_MARKS:
        if begin.startswith(mark):
            begin, encoding = begin[len(mark) :], marked
    if encoding.startswith("utf-16"):
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        begin = decoder.decode(begin).encode()
        blocks = (decoder.decode(block).encode() for block in blocks)
        encoding = "utf-8"
    elif _BINARY.search(begin):
        yield Item(STANDARD_INPUT, problem="neither paths nor an image that asl-edge reads")
        return
    any_name = False
    for name in _names(begin, blocks):
        any_name = True
        if len(name) > _LONGEST_NAME:
            yield Item(STANDARD_INPUT, problem=f"a line of more than {_LONGEST_NAME:,} bytes, which cannot be a path")
            return
        yield name.decode(encoding, "surrogateescape")
    if not any_name:
        yield Item(STANDARD_INPUT, problem="no path on standard input")


def _blocks(stream: Any) -> Iterator[bytes]:
    """Yield the bytes of a stream as they come."""
    binary = getattr(stream, "buffer", stream)
    read = getattr(binary, "read1", None)
    if read is None:  # lines of text
        for line in _lines(stream):
            yield line.encode("utf-8", "surrogateescape")
        return
    while block := read(_BLOCK):
        yield block


def _lines(stream: Iterable[str]) -> Iterator[str]:
    for line in stream:
        yield line if line.endswith("\n") else line + "\n"


def _begin(blocks: Iterator[bytes]) -> bytes:
    """Read until it is clear what comes."""
    begin = b""
    for block in blocks:
        begin += block
        if len(begin) >= _ENOUGH or (_SEPARATOR.search(begin) and not _MAY_BE_IMAGE.match(begin)):
            break
    return begin


def _is_text(begin: bytes) -> bool:
    """Whether what begins like an image, such as `BM`, is a list of names."""
    return not _BINARY.search(begin) and b"\0" not in begin.rstrip(b"\0") and not begin.startswith((b"P5", b"P6"))


def _image(begin: bytes, blocks: Iterator[bytes]) -> Item:
    parts = [begin]
    length = len(begin)
    for block in blocks:
        parts.append(block)
        length += len(block)
        if length > MAX_FILE_BYTES:
            return Item(STANDARD_INPUT, problem=f"too large: more than {MAX_FILE_BYTES / 1e6:.0f} MB")
    return Item(STANDARD_INPUT, b"".join(parts))


def _names(begin: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield names as soon as they are complete, without empty ones; one that is too long ends the list."""
    separator = _SEPARATOR
    if b"\0" in begin:
        separator = re.compile(rb"\0")  # names may hold line ends then
    lines = separator is _SEPARATOR
    rest = b""
    for block in chain((begin,), blocks):
        *names, rest = separator.split(rest + block)
        for name in names:
            if stripped := name.rstrip(b"\r") if lines else name:
                yield stripped
        if len(rest) > _LONGEST_NAME:
            break
    if stripped := rest.rstrip(b"\r") if lines else rest:
        yield stripped


def _encoding(stream: Any) -> str:
    """Return how names are written on a stream: as on the disk, but on Windows as its console writes them."""
    if os.name == "nt":
        return str(getattr(stream, "encoding", None) or sys.getfilesystemencoding())
    return "utf-8"
