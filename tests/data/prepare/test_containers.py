"""Folders and zips: both list and read the same."""

from __future__ import annotations

import os
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from asl_edge.data.prepare.containers import Container, FolderContainer, ZipContainer, open_container
from asl_edge.errors import DataError, ImageError
from asl_edge.imaging.preprocess import MAX_FILE_BYTES

FILES = {"A/1.jpg": b"one", "A/2.jpg": b"two", "B/deep/3.jpg": b"three", "loose.txt": b"text"}
JUNK = {"Thumbs.db": b"x", "A/.hidden": b"x", "__MACOSX/A/1.jpg": b"x", "A/desktop.ini": b"x"}


def folder(tmp_path: Path) -> Path:
    for name, content in {**FILES, **JUNK}.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "tree"


def archive(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "tree.zip", "w") as file:
        for name, content in {**FILES, **JUNK}.items():
            file.writestr(name, content)
    return tmp_path / "tree.zip"


@pytest.mark.parametrize("make", [folder, archive])
def test_both_list_and_read_the_same(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    container: Container = open_container(make(tmp_path))
    top, inner = container.listing(""), container.listing("A")
    assert (sorted(top.folders), top.files, top.special) == (["A", "B"], ["loose.txt"], [])
    assert sorted(inner.files) == ["1.jpg", "2.jpg"]
    assert container.listing("B/deep").files == ["3.jpg"]
    assert {name: container.read(name) for name in FILES} == FILES
    with pytest.raises(ImageError):
        container.read("A/none.jpg")
    container.close()


def test_names_in_a_zip_may_be_those_of_windows_and_tar(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        entry = zipfile.ZipInfo("x")
        entry.filename = "top\\A\\1.jpg"
        file.writestr(entry, b"one")
        file.writestr("./top/A/2.jpg", b"two")
        file.writestr("top/empty/", b"")
    container = ZipContainer(tmp_path / "a.zip")
    assert sorted(container.listing("top/A").files) == ["1.jpg", "2.jpg"]
    assert (container.read("top/A/1.jpg"), container.read("top/A/2.jpg")) == (b"one", b"two")
    assert container.listing("top").folders == ["A"]
    container.close()


def test_of_members_with_one_path_the_last_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("A/1.jpg", b"old")
        file.writestr("./A/1.jpg", b"new")
    container = ZipContainer(tmp_path / "a.zip")
    assert container.listing("A").files == ["1.jpg"]
    assert container.read("A/1.jpg") == b"new"
    container.close()


def test_a_member_that_is_damaged_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = archive(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"three", b"THREE", 1))
    container = open_container(path)
    assert container.read("A/1.jpg") == b"one"
    with pytest.raises(ImageError, match="cannot be read from the zip"):
        container.read("B/deep/3.jpg")
    container.close()


def test_a_huge_member_is_refused_unread(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("A/bomb.jpg", bytes(MAX_FILE_BYTES + 1))
    assert (tmp_path / "a.zip").stat().st_size < 100_000
    container = ZipContainer(tmp_path / "a.zip")
    with pytest.raises(ImageError, match="too large: a file of 64 MB"):
        container.read("A/bomb.jpg")
    container.close()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none", None, "No such file or folder"),
        ("image.jpg", b"\xff\xd8\xff", "a file but not a zip"),
        ("cut.zip", b"PK\x03\x04" + bytes(40), "a damaged zip"),
        ("empty.zip", b"", "a damaged zip"),
    ],
)
def test_what_is_neither_folder_nor_zip(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_container(tmp_path / name)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02")  # the flags of the first entry in the central directory
    content[at + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        open_container(path)


def test_links_and_pipes_are_special(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("links need a privilege of their own there, and there are no pipes")
    tree = folder(tmp_path)
    (tree / "A" / "broken.jpg").symlink_to(tree / "nowhere")
    (tree / "A" / "loop").symlink_to("loop")
    os.mkfifo(tree / "A" / "pipe")
    (tree / "A" / "good.jpg").symlink_to(tree / "A" / "1.jpg")
    listing = FolderContainer(tree).listing("A")
    assert sorted(listing.special) == ["broken.jpg", "loop", "pipe"]
    assert "good.jpg" in listing.files


def test_thumbnails_of_network_disks_are_left_out_and_named(tmp_path: Path) -> None:
    for name in ("A/@eaDir/1.jpg", "#recycle/A/2.jpg", ".Trashes/A/3.jpg", "A/1.jpg"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(b"x")
    with zipfile.ZipFile(tmp_path / "tree.zip", "w") as file:
        for path in sorted((tmp_path / "tree").rglob("*.jpg")):
            file.write(path, path.relative_to(tmp_path / "tree"))
    for source in (tmp_path / "tree", tmp_path / "tree.zip"):
        container = open_container(source)
        assert (container.listing("").folders, container.listing("A").files) == (["A"], ["1.jpg"])
        assert {left.path for left in container.left_out()} == {"A/@eaDir", "#recycle"}
        assert not any(left.unreadable for left in container.left_out())
        container.close()


def test_links_that_lead_back_are_not_followed(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("links need a privilege of their own there")
    (tmp_path / "in/A").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "in/A/up").symlink_to("..")
    (tmp_path / "in/A/itself").symlink_to(".")
    (tmp_path / "in/A/other").symlink_to(tmp_path / "other")
    (tmp_path / "link").symlink_to("in")
    for source in (tmp_path / "in", tmp_path / "link"):
        container = FolderContainer(source)
        assert container.listing("A").folders == ["other"]
        assert sorted(left.path for left in container.left_out()) == ["A/itself", "A/up"]


def deep(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "deep.zip", "w") as file:
        file.writestr("A/1.jpg", b"one")
        for number in range(20):
            file.writestr("/".join("b" * 32_000) + str(number), b"")
    return tmp_path / "deep.zip"


def lzma(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "lzma.zip", "w", zipfile.ZIP_LZMA) as file:
        file.writestr("A/1.jpg", b"one")
        file.writestr("A/2.jpg", b"two " * 2000)
    content = bytearray((tmp_path / "lzma.zip").read_bytes())
    place = content.index(b"A/2.jpg") + len("A/2.jpg") + 9
    content[place : place + 20] = bytes(20)
    (tmp_path / "lzma.zip").write_bytes(content)
    return tmp_path / "lzma.zip"


def unknown_compression(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_STORED) as file:
        file.writestr("A/1.jpg", b"one")
        file.writestr("A/2.jpg", b"two")
    content = bytearray((tmp_path / "z.zip").read_bytes())
    second = content.rindex(b"PK\x01\x02")
    content[second + 10] = 99
    (tmp_path / "z.zip").write_bytes(content)
    return tmp_path / "z.zip"


def bzip2(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("A/1.jpg", b"one")
        file.writestr("A/2.jpg", b"two " * 2000)
    content = (tmp_path / "b.zip").read_bytes()
    place = content.rindex(b"BZh")
    (tmp_path / "b.zip").write_bytes(content[: place + 12] + b"\xff" * 8 + content[place + 20 :])
    return tmp_path / "b.zip"


@pytest.mark.parametrize("make", [deep, lzma, unknown_compression, bzip2])
def test_a_zip_made_to_hurt_costs_only_its_own_members(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    began = time.perf_counter()
    container = open_container(make(tmp_path))
    assert container.read("A/1.jpg") == b"one"
    for name in container.listing("A").files[1:]:
        with pytest.raises(ImageError, match="cannot be read from the zip"):
            container.read(f"A/{name}")
    container.close()
    assert time.perf_counter() - began < 2
    assert container.listing("").folders == ["A"]


def test_a_zip_with_a_table_of_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = archive(tmp_path)
    content = bytearray(path.read_bytes())
    end = content.rindex(b"PK\x05\x06")
    content[end + 12 : end + 16] = (2**31).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match="a damaged zip, or too large"):
        open_container(path)
