"""`asl-edge data prepare`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys

import numpy as np
import pytest

from asl_edge.cli import main


def run(*words):
    """Run the command; return its exit code."""
    with pytest.raises(SystemExit) as stopped:
        main(["data", "prepare", *map(str, words)])
    return stopped.value.code


def test_prints_counts_leaks_and_the_train_command(tmp_path, write_images, capsys):
    source, out = write_images(tmp_path / "in"), tmp_path / "my arrays"
    (source / "A/A0.jpg").write_bytes(b"")
    (source / "hello").mkdir()
    shutil.copy(source / "A/A1.png", source / "B/B99.png")
    assert run(source, "--out", out, "--size", 32) == 0
    said = capsys.readouterr()
    assert "the file is empty" in said.out
    assert "Exact duplicates dropped: 1" in said.out
    assert "gaps between blocks: 6" in said.out
    assert "Nearest neighbour on 24x24 pixels" in said.out
    assert "not the name of a class" in said.err
    assert "is in two classes" in said.err
    assert shlex.join(["asl-edge", "train", str(out), "--out", "runs/my arrays"]) in said.err
    assert (out / "manifest.json").exists()


def test_one_class_is_not_recommended_for_training(tmp_path, write_images, capsys):
    source = write_images(tmp_path / "C", classes="C", name="{label}000{number}.png")  # or a camera's counter
    assert run(source, "--out", tmp_path / "out", "--size", 32) == 0
    said = capsys.readouterr()
    assert "one class only, C, and training needs two or more" in " ".join(said.err.split())
    assert "asl-edge train" not in said.err


def test_json_is_alone_on_standard_output(tmp_path, write_images, capsys):
    source = write_images(tmp_path / "in", classes="ABCDEFGHIJKLM", per_class=5)
    assert run(source, "--out", tmp_path / "out", "--size", 32, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["counts"]["test"]["M"] == 1
    assert report["out"] == str(tmp_path / "out")
    assert 0 <= report["leak"]["nearest_neighbour_accuracy"] <= 1


def test_the_tutorials_way(tmp_path, write_images):
    source = write_images(tmp_path / "flat", name="{label}_{number}.jpg", per_class=20)
    options = [
        "--classes",
        "A,B",
        "--fit",
        "stretch",
        "--split",
        "random",
        "--train-per-class",
        "12",
        "--val-per-class",
        "5",
        "--size",
        "32",
    ]
    assert run(source, "--out", tmp_path / "out", *options) == 0
    counts = [
        np.load(tmp_path / "out" / f"{split}_classes.npy").sum(0).tolist() for split in ("train", "validation", "test")
    ]
    assert counts == [[12, 12], [5, 5], [3, 3]]


def test_every_class_is_in_the_table(tmp_path, write_images, capsys):
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    first = write_images(tmp_path / "first", classes=letters, per_class=5)
    second = write_images(tmp_path / "second", classes="A", per_class=5, seed=1)
    assert run(first, second, "--out", tmp_path / "out", "--size", 16, "--mirror", "second") == 0
    words = capsys.readouterr().out.split()
    assert all(letter in words for letter in letters)
    assert "(mirrored)" in words


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--classes", "A,Q"], "No image of class Q in the sources. They hold: A,B,C."),
        (["--classes", "A,hello"], "Unknown class 'hello'"),
        (["--fractions", "0.5,0.5"], "three numbers"),
        (["--fractions", "0.5,0.5,0.5"], "add up to 1"),
        (["--split", "fair"], "blocks, random, source"),
        (["--split", "source"], "at least two"),
        (["--train-per-class", "5"], "Give both"),
        (
            ["--fractions", "0.70,0.15,0.15", "--train-per-class", "5", "--val-per-class", "2"],
            "cannot be combined with",
        ),
        (["--seed", "-1"], "--seed must be 0 or more"),
        (["--workers", "100000"], "between 1 and 256"),
        (["--train-per-class", "50", "--val-per-class", "5"], "Class A has 12 images"),
        (["--mirror", "nobody"], "no such source"),
        (["--fit", "squash"], "crop, stretch or pad"),
        (["--gap", "20"], "Class A has too few images"),
    ],
)
def test_mistakes_are_explained(tmp_path, write_images, capsys, options, message):
    assert run(write_images(tmp_path / "in"), "--out", tmp_path / "out", "--size", 32, *options) == 2
    said = capsys.readouterr()
    assert message in " ".join(said.err.split())
    assert said.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fractions", "missing"), [("1,0,0", "validation"), ("0,0,1", "training and validation"), ("0.8,0.2,0", None)]
)
def test_arrays_that_cannot_be_trained_on_are_not_sent_to_train(tmp_path, write_images, capsys, fractions, missing):
    source = write_images(tmp_path / "in")
    assert run(source, "--out", tmp_path / "out", "--size", 32, "--fractions", fractions) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert ("asl-edge train " in said and "Next:" in said) == (missing is None)
    if missing:
        assert f"hold no {missing} images" in said
        assert "--fractions 0.70,0.15,0.15" in said


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are no text")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_folders_whose_names_are_no_text(tmp_path, write_images, capsys, options):
    folder = tmp_path / os.fsdecode(b"b\xff d")
    assert run(write_images(folder / "in"), "--out", folder / "out", "--size", 32, *options) == 0
    said = capsys.readouterr()
    assert (json.loads(said.out)["out"] if options else said.out).count("b\\xff d") == 1
    assert "b\\xff d" in said.err
    assert json.loads((folder / "out/manifest.json").read_text(encoding="utf-8"))["sources"][0]["name"] == "in"


def test_a_missing_source(tmp_path, capsys):
    assert run(tmp_path / "none", "--out", tmp_path / "out") == 2
    assert "No such file or folder" in capsys.readouterr().err


def test_overwrite(tmp_path, write_images, capsys):
    source = write_images(tmp_path / "in")
    assert run(source, "--out", tmp_path / "out", "--size", 32) == 0
    assert run(source, "--out", tmp_path / "out", "--size", 32) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(source, "--out", tmp_path / "out", "--size", 16, "--overwrite") == 0
    assert np.load(tmp_path / "out/train_set.npy").shape[1] == 16


def test_many_skipped_images_are_counted(tmp_path, write_images, capsys):
    source = write_images(tmp_path / "in")
    for number in range(14):
        (source / f"A/B{number}.jpg").write_bytes(b"text")
    assert run(source, "--out", tmp_path / "out", "--size", 32) == 0
    assert "and 4 more" in capsys.readouterr().out
