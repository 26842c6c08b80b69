"""`asl-edge data synthesize`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from asl_edge.cli import main


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["data", "synthesize", *arguments])
    return int(stop.value.code or 0)


def test_it_draws_and_names_the_next_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "my hands"
    assert run("--out", str(out), "--per-class", "3", "--classes", "b,Z", "--size", "48", "--seed", "7") == 0
    printed = capsys.readouterr()
    assert "6 images of 2 classes" in printed.out
    assert "Z: signed as a movement" in printed.out
    assert f"asl-edge data prepare '{out}' --out '{out}-arrays'" in printed.err
    assert sorted(path.name for path in out.rglob("*.jpg")) == [f"{name}{n}.jpg" for name in "BZ" for n in (1, 2, 3)]


def test_json_is_the_only_thing_on_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "hands"
    assert run("--out", str(out), "--per-class", "1", "--classes", "A", "--size", "32", "--json") == 0
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert printed.err.splitlines()[-1].strip() == f"asl-edge predict {out}"  # one per class cannot be split
    assert report["folder"] == str(out)
    assert report["classes"] == ["A"]
    assert report["images"] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are no text")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_folder_whose_name_is_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    out = tmp_path / os.fsdecode(b"b\xff d")
    assert run("--out", str(out), "--per-class", "1", "--classes", "A", "--size", "32", *options) == 0
    said = capsys.readouterr()
    assert "xff d" in said.out
    assert "xff d" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--per-class", "1", "--classes", "A,Q5"), "Unknown class 'Q5'"),
        (("--per-class", "0"), "At least one image"),
        (("--per-class", "1", "--size", "9"), "32 to 1024"),
    ],
)
def test_a_wrong_option_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert run("--out", str(tmp_path / "out"), *arguments) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_in_the_way_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert run("--out", str(tmp_path), "--per-class", "1", "--classes", "A") == 2
    assert "not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
