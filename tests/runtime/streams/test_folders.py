"""The catalogue of a folder: what is used, and what is left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from factories.videos import jpeg, mp4

from asl_edge.data.prepare.discovery import find
from asl_edge.runtime.streams.folders import LeftOut, images_in
from asl_edge.runtime.streams.sources import items

HEIC = b"\0\0\0\x18ftypheic" + bytes(64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    contents = {
        "A/1.jpg": jpeg(1),
        "A/2": jpeg(2),
        "A/3.dat": jpeg(3),
        "A/4.HEIC": HEIC,
        "A/clip.MOV": mp4([jpeg()]),
        "A/clip": mp4([jpeg()]),
        "A/notes.txt": b"notes",
        "A/Thumbs.db": b"x",
        "A/@eaDir/1.jpg": jpeg(4),
        "#recycle/A/5.jpg": jpeg(5),
        ".Trashes/A/6.jpg": jpeg(6),
        "B/$RECYCLE.BIN/7.jpg": jpeg(7),
        "B/8.jpg": jpeg(8),
    }
    for name, content in contents.items():
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "in"


def relative(folder: Path, left_out: LeftOut | None = None) -> list[str]:
    found = images_in(str(folder), LeftOut() if left_out is None else left_out)
    return [Path(one.path).relative_to(folder).as_posix() for one in found]


def test_what_is_not_an_image_is_counted(folder: Path) -> None:
    left_out = LeftOut()

    assert relative(folder, left_out) == ["A/1.jpg", "A/2", "A/3.dat", "A/4.HEIC", "B/8.jpg"]
    assert left_out == {"video": 2, "other": 1, "junk": 3}
    assert left_out.in_words() == (
        "2 videos (name them to classify their frames), 1 file that is not an image, "
        "3 folders of thumbnails or deleted files"
    )
    assert LeftOut().in_words() == ""


def test_a_folder_without_an_image_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(mp4([jpeg()]))

    (item,) = items([str(tmp_path)])
    assert item.problem == "no image in this folder, but 1 video (name it to classify its frames)"


def test_links_are_followed_but_not_in_circles(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/9.jpg").write_bytes(jpeg(9))
    (folder / "B/linked").symlink_to(tmp_path / "elsewhere")
    (folder / "B/up").symlink_to("..")
    (folder / "A/across").symlink_to("../B")
    (folder / "B/across").symlink_to("../A")
    (folder / "A/broken.jpg").symlink_to("nowhere.jpg")
    (folder / "A/broken").symlink_to("nowhere")
    left_out = LeftOut()

    found = relative(folder, left_out)

    assert found.count("A/across/8.jpg") == 1
    assert len(found) == 7
    assert "A/broken.jpg" in found, "it is named as one that cannot be read"
    assert left_out["again"] == 3
    assert left_out["special"] == 1


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no permissions of that kind here")
def test_a_folder_that_cannot_be_listed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:  # root reads everything: let the system refuse by another way
        real = os.scandir

        def refuse(path: str) -> object:
            if path == str(folder / "B"):
                raise PermissionError(13, "Permission denied")
            return real(path)

        monkeypatch.setattr(os, "scandir", refuse)
    else:
        (folder / "B").chmod(0)
    (item,) = (item for item in items([str(folder)]) if item.problem is not None)
    assert (item.source, item.problem) == (str(folder / "B"), "cannot be listed (Permission denied)")
    with find([folder]) as catalogue:
        assert [(path, reason) for path, reason in catalogue.skipped] == [(item.source, item.problem)]
    (folder / "B").chmod(0o755)


def test_prepare_and_predict_use_the_same_files(folder: Path) -> None:
    (folder / "B/up").symlink_to("..")
    with find([folder]) as catalogue:
        candidates = {catalogue.path_of(number) for number in range(len(catalogue))}
        reasons = {reason for _, reason in catalogue.ignored}
    used = set(relative(folder))

    assert used <= candidates
    assert candidates - used == {"A/clip.MOV", "A/clip", "A/notes.txt"}, "which prepare names one by one"
    assert "thumbnails or deleted files of a network disk" in reasons
    assert "a link that leads back to a folder around it" in reasons
