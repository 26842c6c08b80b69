"""The manifest: valid JSON whose rows say where each image is from, the same bytes for the same input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from asl_edge.data.prepare import manifest
from asl_edge.data.prepare.discovery import Ignored, find


@pytest.fixture
def folder(tmp_path: Path, write_images: Callable[..., Path]) -> Path:
    write_images(tmp_path / "images", classes="AB", per_class=3)
    (tmp_path / "images" / "A" / "A1.png").rename(tmp_path / "images" / "A" / "grün “x”.png")
    return tmp_path / "images"


ROWS = {"train": np.array([3, 0, 4]), "validation": np.array([1]), "test": np.array([], np.int64)}


def test_rows_lead_back_to_the_files(folder: Path, tmp_path: Path) -> None:
    with find([folder]) as catalogue:
        manifest.write(tmp_path / "manifest.json", {"classes": ["A", "B"]}, catalogue, ROWS)
        paths = [catalogue.path_of(number) for number in ROWS["train"].tolist()]
    values = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    assert values["classes"] == ["A", "B"]
    rows = values["rows"]["train"]
    folders = [values["folders"][number] for number in rows["folder"]]
    assert [f"{path}/{name}" for (_, path), name in zip(folders, rows["name"], strict=True)] == paths
    assert rows["frame"] == [1, 2, 2]
    assert values["rows"]["validation"] == {"folder": [0], "name": ["A3.png"], "frame": [3]}
    assert values["rows"]["test"] == {"folder": [], "name": [], "frame": []}


def test_a_name_without_a_number_has_no_frame(folder: Path, tmp_path: Path) -> None:
    with find([folder]) as catalogue:
        last = next(n for n in range(len(catalogue)) if "grün" in catalogue.path_of(n))
        manifest.write(tmp_path / "manifest.json", {"classes": []}, catalogue, {"train": np.array([last])})
    rows = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["rows"]["train"]
    assert (rows["name"], rows["frame"]) == (["grün “x”.png"], [None])


def test_the_same_input_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        with find([folder]) as catalogue:
            manifest.write(tmp_path / name, manifest.versions(), catalogue, ROWS)
    content = (tmp_path / "one").read_bytes()
    assert content == (tmp_path / "two").read_bytes()
    assert str(tmp_path).encode() not in content
    assert b"\r" not in content


def test_what_was_not_used_is_listed_with_its_reason() -> None:
    assert manifest.listed([Ignored("a/b.jpg", "broken")]) == [{"path": "a/b.jpg", "reason": "broken"}]
