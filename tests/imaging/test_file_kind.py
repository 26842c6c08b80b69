"""What a file is, by its content."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asl_edge.imaging.file_kind import is_hidden, is_junk, kind_of, kind_of_file


def brands(*names: str) -> bytes:
    content = "".join((names[0], "\0\0\0\0", *names[1:])).encode()
    return (len(content) + 8).to_bytes(4, "big") + b"ftyp" + content + bytes(64)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "image"),
        (b"\x89PNG\r\n\x1a\n", "image"),
        (b"GIF89a\1\0\1\0", "image"),
        (b"BM\x36\0\0\0\0\0\0\0", "image"),
        (b"RIFF\x40\0\0\0WEBPVP8 ", "image"),
        (b"P6\n640 480\n255\n", "image"),
        (brands("avif", "mif1"), "image"),
        (brands("mif1", "miaf", "avif"), "image"),
        (brands("heic", "mif1"), "HEIC"),
        (brands("mif1", "heic"), "HEIC"),
        (brands("isom", "mp42"), "video"),
        (brands("qt  "), "video"),
        (brands("3gp4"), "video"),
        (brands("crx ", "isom"), "other"),
        (b"RIFF\x40\0\0\0AVI LIST", "video"),
        (b"RIFF\x40\0\0\0WAVEfmt ", "other"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81", "video"),
        (b"\0\0\0\1\x67\x64\0\x1f", "video"),
        (b"\0\0\1\xba\x44", "video"),
        ((b"G" + bytes(187)) * 3, "video"),
        ((bytes(4) + b"G" + bytes(187)) * 3, "video"),
        (b"G" + bytes(500), "other"),
        (b"BMW and others\n", "other"),
        (b"handwide.jpg\n", "other"),
        (b"%PDF-1.7", "other"),
        (b"", "other"),
    ],
)
def test_kinds(head: bytes, kind: str) -> None:
    assert kind_of(head) == kind


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xd8\xff")

    assert kind_of_file(tmp_path / "a.txt") == "image"
    assert kind_of_file(tmp_path / "none") is None
    assert kind_of_file(tmp_path) is None
    assert kind_of_file("a\0b") is None
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert kind_of_file(tmp_path / "pipe") is None
        assert kind_of_file(os.devnull) is None


def test_names() -> None:
    junk = ["@eaDir", "#recycle", "Thumbs.db", ".Trashes", "._A.jpg", "__MACOSX", "$RECYCLE.BIN", "lost+found"]

    assert all(map(is_junk, junk))
    assert [name for name in junk if is_hidden(name)] == [".Trashes", "._A.jpg", "__MACOSX"]
    assert not any(map(is_junk, ("A", "recycle", "A1.jpg", "thumbs")))
