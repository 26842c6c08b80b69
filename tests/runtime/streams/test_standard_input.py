"""What comes on standard input: lists in every form that programs write, and images themselves."""

from __future__ import annotations

import io
import os
import threading

import pytest
from factories.videos import jpeg, mp4

from asl_edge.runtime.streams.sources import Item
from asl_edge.runtime.streams.standard_input import named_on

NAMES = ["a.jpg", " b c.jpg ", "Ä.png"]


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(NAMES).encode(),
        ("\r\n".join(NAMES) + "\r\n").encode(),
        ("\n\n" + "\n\n".join(NAMES)).encode(),
        ("\ufeff" + "\r\n".join(NAMES)).encode(),
        ("\ufeff" + "\r\n".join(NAMES) + "\r\n").encode("utf-16-le"),
        ("\ufeff" + "\n".join(NAMES)).encode("utf-16-be"),
        "\0".join(NAMES).encode() + b"\0",
        "\0".join(NAMES).encode(),
        "a.jpg\n b c.jpg \0Ä.png\n".encode(),
    ],
    ids=["lines", "Windows", "empty lines", "BOM", "UTF-16", "UTF-16 big", "NUL", "NUL between", "mixed"],
)
def test_lists(content: bytes) -> None:
    if b"\n b c.jpg \0" in content:  # after a NUL byte, line ends belong to names
        assert list(named_on(io.BytesIO(content))) == ["a.jpg\n b c.jpg ", "Ä.png\n"]
        return
    assert list(named_on(io.BytesIO(content))) == NAMES


def test_names_with_line_ends_are_separated_by_nul_bytes() -> None:
    assert list(named_on(io.BytesIO(b"./a\nb.jpg\0./c\r\n.jpg\0"))) == ["./a\nb.jpg", "./c\r\n.jpg"]


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_are_not_text() -> None:
    assert list(named_on(io.BytesIO(b"./\xff\xe9.jpg\n"))) == [os.fsdecode(b"./\xff\xe9.jpg")]


def test_text_files_and_lines_will_do() -> None:
    assert list(named_on(io.StringIO("a.jpg\r\nb.jpg"))) == ["a.jpg", "b.jpg"]
    assert list(named_on(["a.jpg", "b.jpg\n"])) == ["a.jpg", "b.jpg"]
    assert list(named_on(io.TextIOWrapper(io.BytesIO(b"a.jpg\n")))) == ["a.jpg"]


@pytest.mark.parametrize("block", [1, 3, 100_000])
def test_an_image_itself(block: int) -> None:
    content = jpeg()

    class Slow(io.RawIOBase):
        def __init__(self) -> None:
            self._left = content

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            part, self._left = self._left[:block], self._left[block:]
            buffer[: len(part)] = part
            return len(part)

    assert list(named_on(io.BufferedReader(Slow()))) == [Item("-", content)]


@pytest.mark.parametrize(
    ("stream", "problem"),
    [
        (None, "there is no standard input"),
        (io.BytesIO(b""), "no path on standard input"),
        (io.BytesIO(b"\r\n\n"), "no path on standard input"),
        (io.BytesIO(b"\0\0"), "no path on standard input"),
        (io.BytesIO(mp4([jpeg()])), "a video; save it as a file, and name that"),
        (io.BytesIO(b"%PDF-1.7\x01\x02\0\0"), "neither paths nor an image that asl-edge reads"),
        (io.BytesIO(b"x" * 10_000_000), "a line of more than 32,768 bytes, which cannot be a path"),
        (io.BytesIO(jpeg()[:100] + bytes(64_000_001)), "too large: more than 64 MB"),
    ],
    ids=["none", "empty", "empty lines", "NUL bytes", "video", "PDF", "endless line", "large"],
)
def test_what_is_neither(stream: io.BytesIO | None, problem: str) -> None:
    assert list(named_on(stream)) == [Item("-", problem=problem)]


def test_names_come_as_soon_as_they_are_written() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as reader:
        names = named_on(reader)
        for separator in (b"\n", b"\n"):
            os.write(write, b"BM.jpg" + separator)
            got: list[object] = []
            thread = threading.Thread(target=lambda got=got: got.append(next(names)))
            thread.start()
            thread.join(5)
            assert got == ["BM.jpg"]
        os.close(write)
