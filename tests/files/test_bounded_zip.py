"""Zips of other people: their list of members is bounded, and so is what unpacking takes."""

from __future__ import annotations

import struct
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from asl_edge.data.prepare.containers import open_container
from asl_edge.errors import ImageError
from asl_edge.files.bounded_zip import open_zip


def write_zip(path: Path, names: list[str], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"content of it", compress_type=method)
    return path


@pytest.mark.parametrize("comment", [b"", b"hello", b"PK\x05\x06 in a comment", b"x" * 65_535])
@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\n"])
def test_zips_of_all_sorts_are_opened(tmp_path: Path, comment: bytes, before: bytes) -> None:
    path = write_zip(tmp_path / "a.zip", ["a", "b"])
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = comment
    path.write_bytes(before + path.read_bytes())
    with path.open("rb") as file:
        if b"PK" in comment:  # Python takes the mark in the comment for the end
            with pytest.raises(ValueError):
                open_zip(file, 1000)
            return
        with open_zip(file, 1000) as archive:
            assert archive.namelist() == ["a", "b"]


def test_a_zip_of_64_bits_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    path = write_zip(tmp_path / "a.zip", ["a", "b", "c"])
    assert b"PK\x06\x06" in path.read_bytes()
    with path.open("rb") as file:
        with open_zip(file, 1000, 3) as archive:
            assert archive.namelist() == ["a", "b", "c"]
        with pytest.raises(ValueError, match="more than 2 members"):
            open_zip(file, 1000, 2)
        with pytest.raises(ValueError, match="list of members has"):
            open_zip(file, 100)


@pytest.mark.parametrize("depth", [65, 30_000])
def test_a_path_of_many_folders_takes_no_memory(tmp_path: Path, depth: int) -> None:
    path = write_zip(tmp_path / "a.zip", ["A/x.jpg", "a/" * depth + "x.jpg"])
    started = time.perf_counter()
    container = open_container(path)
    assert container.listing("").folders == ["A"]
    assert [left.reason for left in container.left_out()] == ["files within more than 64 folders"]
    container.close()
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_member_is_one_image_that_cannot_be_read(tmp_path: Path, method: int) -> None:
    noise = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8))[1].tobytes()
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.png", noise)
    content = path.read_bytes()
    for at in (60, 100, 500):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        container = open_container(path)
        with pytest.raises(ImageError, match="cannot be read from the zip"):
            container.read("x.png")
        container.close()


def test_lzma_may_not_allocate_gigabytes(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", ["x.png"], zipfile.ZIP_LZMA)
    content = bytearray(path.read_bytes())
    at = 30 + len("x.png") + 5  # after version, length and the first property
    content[at : at + 4] = struct.pack("<I", 2**32 - 1)
    path.write_bytes(content)
    container = open_container(path)
    with pytest.raises(ImageError, match="more than 67 MB"):
        container.read("x.png")
    container.close()
