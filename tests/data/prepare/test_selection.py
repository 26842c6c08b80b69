"""Which images are used, and in which split."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from asl_edge.data.prepare.discovery import Catalogue, find
from asl_edge.data.prepare.selection import Selection, select, split
from asl_edge.data.prepare.split import SplitPlan
from asl_edge.errors import DataError


@pytest.fixture
def folder(tmp_path: Path, write_images: Callable[..., Path]) -> Path:
    return write_images(tmp_path / "images", classes="CAB", per_class=12)


@pytest.fixture
def catalogue(folder: Path) -> Iterator[Catalogue]:
    with find([folder]) as found:
        yield found


def chosen(catalogue: Catalogue, classes: tuple[str, ...] | None = None) -> Selection:
    return select(catalogue, classes, 16, workers=2, on_done=lambda count: None)


def test_all_classes_in_alphabet_order(catalogue: Catalogue) -> None:
    selection = chosen(catalogue)
    assert selection.classes == ("A", "B", "C")
    assert np.bincount(selection.columns).tolist() == [12, 12, 12]
    assert selection.usable.all()
    assert len(selection.kept) == 36


def test_columns_are_in_the_order_asked_for(folder: Path) -> None:
    with find([folder], classes=("C", "A")) as catalogue:
        selection = chosen(catalogue, ("C", "A"))
        assert selection.classes == ("C", "A")
        labels = [catalogue.path_of(number)[0] for number in range(len(catalogue))]
    assert [selection.classes[column] for column in selection.columns] == labels


def test_a_class_without_images_is_refused_with_those_that_there_are(catalogue: Catalogue) -> None:
    with pytest.raises(DataError, match="No image of class D in the sources. They hold: A,B,C"):
        chosen(catalogue, ("A", "D"))


def test_exact_duplicates_are_dropped_also_across_classes(folder: Path) -> None:
    shutil.copy(folder / "A" / "A1.png", folder / "A" / "A99.png")
    shutil.copy(folder / "A" / "A2.png", folder / "B" / "B99.png")
    with find([folder]) as catalogue:
        selection = chosen(catalogue)
        dropped = [catalogue.path_of(number) for number in selection.dropped_as_duplicates]
        firsts = [catalogue.path_of(int(selection.first_of[number])) for number in selection.dropped_as_duplicates]
    assert dropped == ["A/A99.png", "B/B99.png"]
    assert firsts == ["A/A1.png", "A/A2.png"]


def test_splits_hold_every_kept_image_once(catalogue: Catalogue) -> None:
    selection = chosen(catalogue)
    rows = split(catalogue, selection, SplitPlan(gap=0))
    everything = np.concatenate(list(rows.values()))
    assert sorted(everything.tolist()) == selection.kept.tolist()
    assert not np.array_equal(rows["train"], np.sort(rows["train"])), "in a random order"
    again = split(catalogue, selection, SplitPlan(gap=0))
    other = split(catalogue, selection, SplitPlan(gap=0, seed=1))
    assert all(np.array_equal(rows[name], again[name]) for name in rows)
    assert not np.array_equal(rows["train"], other["train"])


def test_blocks_are_cut_within_sessions(tmp_path: Path, write_images: Callable[..., Path]) -> None:
    folder = tmp_path / "mine"
    for seed, session in enumerate(("anna", "ben")):
        write_images(folder, classes="AB", per_class=20, name="{label}/" + session + "_{label}{number}.png", seed=seed)
    with find([folder]) as catalogue:
        selection = chosen(catalogue)
        rows = split(catalogue, selection, SplitPlan(gap=0))
        sessions = {
            name: {catalogue.path_of(number).split("/")[1].split("_")[0] for number in numbers.tolist()}
            for name, numbers in rows.items()
        }
    assert sessions == {name: {"anna", "ben"} for name in ("train", "validation", "test")}


def test_a_class_whose_files_are_all_unusable_is_an_error_with_a_reason(folder: Path) -> None:
    for path in (folder / "B").iterdir():
        path.write_bytes(b"no image")
    with find([folder]) as catalogue:
        selection = chosen(catalogue)
        with pytest.raises(DataError, match="Class B has no usable image: none of its 12 files can be used"):
            split(catalogue, selection, SplitPlan())
