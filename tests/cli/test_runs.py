"""`asl-edge runs` and `asl-edge runs compare`."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import zipfile

import pytest

from asl_edge.cli import main
from asl_edge.imaging.preprocess import load
from asl_edge.training.runs.history import write_history


def write_run(path, *, epochs=3, planned=3, test=0.75, age=0, **config):
    """Write what `runs` reads; its best.keras is a zip, but no model."""
    path.mkdir(parents=True)
    choices = {
        "network": "alexnet",
        "recipe": "default",
        "epochs": planned,
        "batch_size": 32,
        "label_smoothing": 0.1,
        "classes": ["A", "B", "C"],
        "input_size": 224,
        "fit": "crop",
        "data": {
            "split": "blocks",
            "fingerprint": {
                f"{split}_{kind}.npy": 1 for split in ("validation", "test") for kind in ("set", "classes")
            },
        },
    }
    (path / "config.json").write_text(json.dumps(choices | config))
    (path / "environment.json").write_text(json.dumps({"cpu": "a processor", "packages": {"keras": "3.9"}}))
    rows = [
        {
            "epoch": epoch, "loss": 1 / epoch, "accuracy": 1 - 1 / (epoch + 1), "val_loss": 1.2 / epoch,
            "val_accuracy": 1 - 1 / (epoch + 3), "images_per_second": 70 + epoch, "seconds": 100.0,
        }
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip
    write_history(path / "history.csv", rows)
    with zipfile.ZipFile(path / "best.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    scores = {"test": {"accuracy": test, "top3_accuracy": 1.0, "images": 66, "interval95": [0.69, 0.88]}}
    (path / "results.json").write_text(json.dumps({"epochs": epochs, "best_epoch": epochs} | (scores if test else {})))
    os.utime(path / "history.csv", (1e9 - age, 1e9 - age))
    return path


@pytest.fixture
def run(capsys):
    """Run the command; return exit code, standard output and standard error."""

    def run(*words):
        with pytest.raises(SystemExit) as stopped:
            main(["runs", *map(str, words)])
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return run


def lines_of(table):
    """The words of each line below the heading."""
    return [line.split() for line in table.splitlines() if line.strip()][2:]


def rows_of(table):
    """The rest of each line below the heading, by its first word."""
    return {line[0]: " ".join(line[1:]) for line in lines_of(table)}


def test_lists_runs_newest_first(run, tmp_path):
    write_run(tmp_path / "older", age=5, recipe="tutorial", test=None)
    write_run(tmp_path / "deep" / "newer", classes=["A", "B"])
    code, out, err = run(tmp_path)
    assert code == 0
    rows = rows_of(out)
    assert list(rows) == [f"{tmp_path}/deep/newer", f"{tmp_path}/older"]
    assert rows[f"{tmp_path}/deep/newer"] == "default 2 83.3% 75.0% - 1 kB 5 min 3/3 finished"
    assert rows[f"{tmp_path}/older"] == "tutorial 3 83.3% - - 1 kB 5 min 3/3 finished"
    assert shlex.join(["asl-edge", "runs", "compare", f"{tmp_path}/deep/newer", f"{tmp_path}/older"]) in err


def test_json_has_every_figure(run, tmp_path):
    path = write_run(tmp_path / "one")
    code, out, err = run(tmp_path, "--json")
    assert (code, err) == (0, "")
    (value,) = json.loads(out)
    assert value["path"] == str(path)
    assert (value["state"], value["reason"], value["recipe"], value["network"]) == (
        "finished",
        None,
        "default",
        "alexnet",
    )
    assert (value["epochs"], value["planned_epochs"], value["best_epoch"]) == (3, 3, 3)
    assert (value["test_accuracy"], value["test_interval95"], value["test_images"]) == (0.75, [0.69, 0.88], 66)
    assert (value["training_seconds"], value["parameters"]) == (300.0, None)
    assert value["changed"] == "2001-09-09T01:46:40+00:00"


def test_looks_in_runs_or_else_here(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "here")
    assert lines_of(run()[1])[0][0] == "here"
    write_run(tmp_path / "runs" / "there")
    (line,) = lines_of(run()[1])
    assert line[0] == os.path.join("runs", "there")  # noqa: PTH118


def test_a_damaged_run_is_listed_and_the_reason_said(run, tmp_path):
    write_run(tmp_path / "good")
    (write_run(tmp_path / "bad", age=1) / "config.json").write_text("{")
    code, out, err = run(tmp_path)
    assert code == 0
    assert [line[-1] for line in lines_of(out)] == ["finished", "damaged"]
    assert f"{tmp_path}/bad is damaged: {tmp_path}/bad/config.json cannot be read" in err


def test_nothing_found_says_how_to_make_one(run, tmp_path):
    code, out, err = run(tmp_path)
    assert (code, out) == (0, "")
    assert f"No run folders in {tmp_path}" in err
    assert "asl-edge train ARRAYS --out RUN" in err
    assert run(tmp_path, "--json") == (0, "[]\n", "")


@pytest.mark.parametrize("width", [60, 100, 400])
def test_the_table_fits_the_terminal(width, tmp_path):
    import io

    from rich.console import Console

    from asl_edge.training.runs.summary import find_runs
    from asl_edge.training.runs.table import runs_table

    write_run(tmp_path / "runs" / "a-name-of-more-than-forty-letters-as-people-write-them")
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=width, color_system=None, soft_wrap=True)
    table, left_out = runs_table(find_runs(tmp_path / "runs"), console)
    console.print(table)
    assert max(len(line.rstrip()) for line in written.getvalue().splitlines()) <= width
    assert "finished" in written.getvalue()
    assert "83.3%" in written.getvalue()
    assert bool(left_out) == (width < 400)


def test_tells_of_runs_without_tensorflow(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b")
    code = (
        "import sys; from asl_edge.cli import main\n"
        "for words in ['runs', sys.argv[1]], ['runs', 'compare', sys.argv[1] + '/a', sys.argv[1] + '/b']:\n"
        "    try: main(words)\n"
        "    except SystemExit as done: assert not done.code\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'torch', 'matplotlib', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class TestCompare:
    @pytest.fixture
    def two(self, tmp_path):
        first = write_run(tmp_path / "first")
        return first, write_run(tmp_path / "second", recipe="tutorial", label_smoothing=0.0, epochs=2, planned=5)

    def test_shows_what_differs_and_what_was_reached(self, run, two):
        code, out, err = run("compare", *two)
        assert (code, err) == (0, "")
        rows = rows_of(out)
        assert rows["recipe"] == "default tutorial"
        assert rows["label_smoothing"] == "0.1 0"
        assert rows["epochs"] == "3 of 3 2 of 5"
        assert rows["best"] == "validation 83.3% in epoch 3 80.0% in epoch 2"
        assert "75.0% (95% interval 69.0% to 88.0%, n = 66)" in rows["test"]
        assert rows["time"] == "5 min 3 min"
        assert rows["images/s"] == "72 (median of the epochs) 72 (median of the epochs)"
        assert "batch_size" not in rows
        assert "cpu" not in rows

    def test_says_when_the_images_or_the_machines_are_others(self, run, two):
        config = json.loads((two[1] / "config.json").read_text())
        config["data"]["fingerprint"]["test_set.npy"] = 2
        (two[1] / "config.json").write_text(json.dumps(config))
        (two[1] / "environment.json").write_text('{"cpu": "another", "packages": {"keras": "3.15"}}')
        code, out, err = run("compare", *two)
        assert code == 0
        assert "different test images, so their accuracies cannot be compared" in err
        assert "fingerprint" not in out
        assert "another" in out
        assert "packages.keras" in out

    def test_json_has_the_histories(self, run, two):
        code, out, _ = run("compare", *two, "--json")
        value = json.loads(out)
        assert code == 0
        assert value["choices"] == {"recipe": ["default", "tutorial"], "epochs": [3, 5], "label_smoothing": [0.1, 0.0]}
        assert [len(history) for history in value["histories"]] == [3, 2]
        assert [item["path"] for item in value["runs"]] == [str(path) for path in two]

    def test_plot_is_an_image(self, run, two, tmp_path):
        pytest.importorskip("matplotlib")
        code, _, err = run("compare", *two, "--plot", tmp_path / "plots" / "both.png")
        assert code == 0
        assert f"Plot: {tmp_path}/plots/both.png" in err
        assert load(tmp_path / "plots" / "both.png", 200).min() < 100

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["compare"], "Missing argument 'A'"),
            (["compare", "FIRST"], "Missing argument 'B'"),
            (["compare", "FIRST", "nowhere"], "There is no run folder at nowhere"),
            (["compare", "FIRST", "."], "is not a run folder"),
            (["compare", "FIRST", "FIRST", "--plot", "x.jpg"], "must be .png, .svg or .pdf"),
            (["nowhere"], "There is no folder at nowhere"),
        ],
    )
    def test_mistakes_are_explained(self, words, message, run, two, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        code, out, err = run(*(str(two[0]) if word == "FIRST" else word for word in words))
        assert (code, out) == (2, "")
        assert message in err
