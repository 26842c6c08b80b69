from __future__ import annotations

import csv
import errno
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from read_only import read_only

from asl_edge.cli import main

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--rounds", "1", "--runs", "3", "--warmup", "0")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def benchmark(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["benchmark", *map(str, words)])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return benchmark


def test_the_table_and_the_plot(run: Run, colour_model: Path, tmp_path: Path) -> None:
    code, out, err = run("--model", colour_model, "--batch-size", "1,2", *QUICK, "--plot", tmp_path / "p.png")

    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["model", str(colour_model), str(colour_model)]
    assert (tmp_path / "p.png").exists()
    assert "1 round of 3 runs" in err


def test_json(run: Run, colour_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(colour_model.read_bytes())

    code, out, _ = run("--model", colour_model, other, "--threads", "1,all", "--json", *QUICK)

    results = json.loads(out)["results"]
    assert code == 0
    assert [(result["model"], result["threads"]) for result in results] == [
        (str(colour_model), 1),
        (str(colour_model), None),
        (str(other), 1),
        (str(other), None),
    ]
    assert all(result["provider_used"] == "cpu" for result in results)


def test_csv_and_markdown(run: Run, colour_model: Path) -> None:
    _, out, _ = run("--model", colour_model, "--csv", *QUICK)
    assert len(list(csv.DictReader(io.StringIO(out)))) == 1
    _, out, _ = run("--model", colour_model, "--markdown", *QUICK)
    assert out.count("\n|") == 3


def test_a_variant_that_fails_is_told_and_the_others_go_on(run: Run, colour_model: Path) -> None:
    code, out, err = run("--model", colour_model, "--provider", "rocm,cpu", *QUICK)

    assert code == 1
    assert "failed" in out.splitlines()[1]
    assert " cpu " in out.splitlines()[2]
    assert "has no rocm" in err


def test_all_providers(run: Run, colour_model: Path) -> None:
    code, out, _ = run("--model", colour_model, "--provider", "all", "--csv", *QUICK)

    from asl_edge.runtime.engine import providers

    assert code in (0, 1)
    assert [row["provider"] for row in csv.DictReader(io.StringIO(out))] == providers.offered()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "nope.onnx"], "There is no model file nope.onnx"),
        (["--model", "m.onnx", "--batch-size", "1,x"], "--batch-size takes whole numbers"),
        (["--model", "m.onnx", "--threads", "none"], "--threads takes whole numbers"),
        (["--model", "m.onnx", "--batch-size", "0"], "batch size must be 1 or more"),
        (["--model", "m.onnx", "--provider", "tpu"], "Unknown provider 'tpu'"),
        (["--model", "m.onnx", "--json", "--csv"], "exclude each other"),
        (["--scenario", "server"], "Unknown scenario 'server'"),
        (["--scenario", "offline", "--scenario-seconds", "0"], "--scenario-seconds must be above 0"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_mistakes(run: Run, words: list[str], message: str) -> None:
    code, out, err = run(*words)

    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("plot", "message"),
    [
        ("plot.xyz", "A plot's name must end in .png, .svg, .pdf"),
        ("plot", "A plot's name must end in"),
        ("afile/x.png", "afile is not a folder"),
        ("ro/x.png", "permission denied"),
        ("folder.png", "is a folder. Name a file with --plot"),
    ],
)
def test_a_plot_that_cannot_be_drawn_is_refused_before_anything_is_measured(
    run: Run, colour_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plot: str, message: str
) -> None:
    monkeypatch.setattr("asl_edge.bench.runner.benchmark", lambda *_, **__: pytest.fail("measured"))
    (tmp_path / "afile").touch()
    (tmp_path / "folder.png").mkdir()
    with read_only(tmp_path / "ro"):
        code, out, err = run("--model", colour_model, *QUICK, "--plot", tmp_path / plot)

    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_plot_that_fails_does_not_cost_the_figures(
    run: Run, colour_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("asl_edge.files.atomic.replacing", full)
    code, out, err = run("--model", colour_model, *QUICK, "--plot", tmp_path / "p.png")

    assert code == 1
    assert out.splitlines()[1].split()[0] == str(colour_model)
    assert f"The plot cannot be written to {tmp_path / 'p.png'} (No space left on device)." in err


def test_the_footer_names_the_runtime_also_where_nothing_could_be_measured(run: Run, colour_model: Path) -> None:
    import onnxruntime

    code, _, err = run("--model", colour_model, "--provider", "rocm", *QUICK)

    assert code == 1
    assert f"ONNX Runtime {onnxruntime.__version__}, asl-edge" in err


def test_the_plot_without_matplotlib(
    run: Run, colour_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)

    code, _, err = run("--model", colour_model, *QUICK, "--plot", tmp_path / "p.png")
    assert code == 2
    assert "pip install 'asl-edge[report]'" in err


def test_without_a_model_the_pretrained_one_is_measured(run: Run) -> None:
    code, out, _ = run("--rounds", "1", "--runs", "2", "--json")
    assert code == 0
    assert [Path(result["model"]).name for result in json.loads(out)["results"]] == ["alexnet-edge-8-landmarks.onnx"]


def test_compared_with_an_earlier_one(run: Run, colour_model: Path, tmp_path: Path) -> None:
    words = ("--model", colour_model, "--rounds", "3", "--runs", "3", "--warmup", "0")
    code, out, _ = run(*words, "--json")
    assert code == 0
    before = json.loads(out)
    for name, factor in (("slow", 1e4), ("fast", 1e-4)):
        for row in before["results"]:
            row["raw"]["samples_ms"] = [[factor * ms for ms in turn] for turn in row["raw"]["samples_ms"]]
        (tmp_path / f"{name}.json").write_text(json.dumps(before))
        before = json.loads(out)

    code, said, _ = run(*words, "--compare", tmp_path / "slow.json")
    assert code == 0
    assert said.splitlines()[-1].split()[-1] == "faster"
    code, said, _ = run(*words, "--compare", tmp_path / "fast.json", "--json")
    assert code == 1
    (found,) = json.loads(said)["comparison"]["comparisons"]
    assert (found["verdict"], found["model"]) == ("slower", str(colour_model))
    code, said, _ = run(*words, "--compare", tmp_path / "fast.json", "--markdown")
    assert code == 1
    assert said.rstrip().endswith("| slower |")


def test_what_cannot_be_compared_is_said_before_anything_is_measured(
    run: Run, colour_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asl_edge.bench.runner.benchmark", lambda *_, **__: pytest.fail("measured"))
    (tmp_path / "old.json").write_text("{}")
    (tmp_path / "unknown" / "D").mkdir(parents=True)
    (tmp_path / "unknown" / "D" / "D1.jpg").write_bytes(b"never read")
    for option, message in (
        (("--compare", tmp_path / "old.json"), "not a benchmark of asl-edge"),
        (("--compare", tmp_path / "old.json", "--csv"), "Leave --csv out"),
        (("--compare", tmp_path / "none.json"), "cannot be read"),
        (("--data", tmp_path / "unknown"), "The model knows none of the classes"),
    ):
        code, _, err = run("--model", colour_model, *option)
        assert code == 2
        assert message in " ".join(err.split())


def test_accuracy_and_scenarios(run: Run, colour_model: Path, tmp_path: Path) -> None:
    from asl_edge.data.synthetic import synthesize

    synthesize(tmp_path / "drawn", per_class=2, classes=["A", "B", "C", "D"], size=64, workers=1)
    words = ("--model", colour_model, "--data", tmp_path / "drawn", "--scenario", "single-stream,offline")
    code, out, err = run(*words, "--scenario-seconds", "0.1", *QUICK, "--json")

    assert code == 0, err
    values = json.loads(out)
    (result,) = values["results"]
    assert result["labelled_images"] == 6, "the model knows no D"
    assert result["to_label_p50_ms"] > 0
    assert [one["scenario"] for one in values["scenarios"]] == ["single-stream", "offline"]
    assert all("of 600 s" in one["unmet"][0] for one in values["scenarios"])
    code, out, _ = run(*words, "--scenario-seconds", "0.1", *QUICK)
    assert code == 0
    assert "These are not MLPerf results" in out
