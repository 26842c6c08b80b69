"""Sources that come with a split, as Roboflow, Keras and others lay them out: kept, said, and checked for leaks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from asl_edge.data.prepare.prepare import PrepareConfig, PrepareReport, SplitPlan, prepare
from asl_edge.errors import DataError

NAME = "{part}/{{label}}/{{label}}{{number}}.png"


@pytest.fixture
def with_split(tmp_path, write_images):
    """Gives `make(*parts)`: a folder with these folders of 6 images of A, B and C each, all different."""

    def make(*parts: str) -> Path:
        for seed, part in enumerate(parts):
            write_images(tmp_path / "in", per_class=6, name=NAME.format(part=part), seed=seed)
        return tmp_path / "in"

    return make


def run(tmp_path: Path, source: Path, **fields) -> PrepareReport:
    return prepare(PrepareConfig((source,), tmp_path / "out", size=32, **fields))


def totals(report: PrepareReport) -> dict[str, int]:
    return {split: sum(counts.values()) for split, counts in report.counts.items()}


@pytest.mark.parametrize(
    "parts", [("train", "valid", "test"), ("train", "val", "test"), ("Training", "Validation", "Test")]
)
def test_it_is_kept_and_said(parts, tmp_path, with_split):
    report = run(tmp_path, with_split(*parts))
    assert totals(report) == {"train": 18, "validation": 18, "test": 18}
    assert [(source["name"], source["split"]) for source in report.sources] == [
        (parts[0], "train"),
        (parts[1], "validation"),
        (parts[2], "test"),
    ]
    assert any("come with a split, which is kept" in note and "--split blocks" in note for note in report.notes)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["options"]["split"] == "folders"
    for split, part in zip(("train", "validation", "test"), parts, strict=True):
        folders = {manifest["folders"][number][1].partition("/")[0] for number in manifest["rows"][split]["folder"]}
        assert folders == {part}


def test_the_leak_report_looks_through_it(tmp_path, with_split):
    source = with_split("train", "valid", "test")
    shutil.copytree(source / "train/A", source / "test/A", dirs_exist_ok=True)
    report = run(tmp_path, source)
    assert report.counts["test"] == {"A": 0, "B": 6, "C": 6}
    assert report.duplicates == 6
    assert "Exact copies of train images in test, left out of test: 6." in report.notes
    assert any("There is no test image of A" in note for note in report.notes)
    assert {(near.first_split, near.second_split) for near in report.leak.near_duplicates} == {
        ("train", "validation"), ("train", "test"), ("validation", "test"),
    }  # fmt: skip


def test_without_a_validation_folder_a_part_of_the_training_images_is_it(tmp_path, with_split):
    report = run(tmp_path, with_split("train", "test"))
    counts = totals(report)
    assert counts["test"] == 18
    assert counts["validation"] > 0
    assert counts["train"] + counts["validation"] + report.gap_frames == 18
    assert any("No source is for validation" in note for note in report.notes)


def test_without_a_test_folder_there_is_no_test(tmp_path, with_split):
    report = run(tmp_path, with_split("train", "val"))
    assert totals(report) == {"train": 18, "validation": 18, "test": 0}
    assert "There are no test images." in report.notes


@pytest.mark.parametrize("plan", [SplitPlan("blocks"), SplitPlan(fractions=(0.5, 0.25, 0.25)), SplitPlan(gap=0)])
def test_another_split_is_made_where_it_is_asked_for(plan, tmp_path, with_split):
    report = run(tmp_path, with_split("train", "valid", "test"), split=plan)
    counts = totals(report)
    assert counts["train"] > 18
    assert not any("kept" in note for note in report.notes)
    assert json.loads((tmp_path / "out/manifest.json").read_text())["options"]["split"] == "blocks"


def test_a_class_without_training_images_is_refused(tmp_path, with_split):
    source = with_split("train", "valid")
    shutil.rmtree(source / "train/C")
    with pytest.raises(DataError, match="Class C has too few images: 6 in all, none left for train"):
        run(tmp_path, source)


def test_another_source_beside_it_is_cut_in_blocks(tmp_path, with_split, write_images):
    source = with_split("train", "valid", "test")
    other = write_images(tmp_path / "mine", per_class=20, seed=9)
    report = prepare(PrepareConfig((source, other), tmp_path / "out", size=32))
    mine = next(entry for entry in report.sources if entry["name"] == "mine")
    assert mine["split"] is None
    assert min(mine[split] for split in ("train", "validation", "test")) > 0


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        ("{label}/{number}.png", "the names of their folders"),
        ("{label}_{number}.png", "their file names, as in A_34.jpg"),
    ],
)
def test_the_rule_that_labelled_a_source_is_said(names, rule, tmp_path, write_images):
    report = run(tmp_path, write_images(tmp_path / "in", name=names))
    assert report.notes == [f"The classes of all images come from {rule}."]


def test_each_source_has_its_rule(tmp_path, write_images):
    write_images(tmp_path / "one", name="{label}/{number}.png")
    write_images(tmp_path / "two", name="{label}_{number}.png", seed=1)
    report = prepare(PrepareConfig((tmp_path / "one", tmp_path / "two"), tmp_path / "out", size=32))
    assert report.notes == [
        "The classes of the images in one come from the names of their folders.",
        "The classes of the images in two come from their file names, as in A_34.jpg.",
    ]


@pytest.mark.parametrize("place", ["A/arrays", "Z", "A/ann/arrays", "space"])
def test_arrays_among_the_images_are_refused(place, tmp_path, write_images):
    source = write_images(tmp_path / "in")
    with pytest.raises(DataError, match="lies among the images of .*in, and would be taken for some of them"):
        prepare(PrepareConfig((source,), source / place, size=32))
    assert sorted(path.name for path in source.iterdir()) == ["A", "B", "C"]


def test_arrays_beside_the_class_folders_are_not_taken_for_images(tmp_path, write_images):
    source = write_images(tmp_path / "in")
    first = prepare(PrepareConfig((source,), source / "arrays", size=32))
    again = prepare(PrepareConfig((source,), source / "arrays", size=32, overwrite=True))
    assert again.images == first.images
    assert [(Path(path).name, reason) for path, reason in again.ignored] == [("arrays", "not the name of a class")]


def test_pointers_of_git_lfs_are_named(tmp_path, write_images):
    source = write_images(tmp_path / "in")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (source / "A/A1.png").write_bytes(pointer)
    report = run(tmp_path, source)
    assert [(Path(path).name, "git lfs pull" in reason) for path, reason in report.skipped] == [("A1.png", True)]
    (tmp_path / "all.zip").write_bytes(pointer)
    with pytest.raises(DataError, match="git lfs pull"):
        prepare(PrepareConfig((tmp_path / "all.zip",), tmp_path / "other", size=32))
