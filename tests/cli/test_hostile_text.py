"""Names of files and classes that would do something where they are printed, written or drawn."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from rich.table import Table

from asl_edge.cli import main
from asl_edge.errors import ModelError
from asl_edge.files.csv_writer import write_csv
from asl_edge.process.printable import spreadsheet_text
from asl_edge.runtime.model_card import card
from asl_edge.runtime.streams.overlay import caption
from asl_edge.runtime.streams.prediction import Prediction
from asl_edge.runtime.streams.sinks import CsvSink
from asl_edge.spec import ModelSpec

HOSTILE = ("\x1b[2J\x1b]0;pwned\x07.jpg", "a\rb.jpg", "[/b].jpg", "=1+1.jpg", "@x.jpg", "\x9b31m.jpg", "[bold]x.jpg")
Make = Callable[..., None]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows refuses such names itself")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with images of hostile names."""
    monkeypatch.chdir(tmp_path)
    content = cv2.imencode(".jpg", np.full((40, 40, 3), 90, np.uint8))[1].tobytes()
    for name in HOSTILE:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def run(*words: object, codes: tuple[int, ...] = (0,)) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert int(ended.value.code or 0) in codes


def assert_harmless(text: str) -> None:
    assert not {"\x1b", "\r", "\x07", "\x9b"} & set(text)


@pytest.mark.parametrize("form", ["--json", "--csv", None])
def test_predict_prints_such_names_harmlessly(
    folder: Path, colour_model: Path, form: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [form] if form else []
    run("predict", *HOSTILE, "--model", colour_model, "--provider", "cpu", *words)
    output = capsys.readouterr()
    assert_harmless(output.err)
    lines = output.out.splitlines()
    if form == "--csv":  # to a program here, which must find the files again
        sources = [row["source"] for row in csv.DictReader(io.StringIO(output.out, newline=""))]
        assert [spreadsheet_text(source) for source in sources] == list(HOSTILE)
        assert sources[3] == "./=1+1.jpg"
        assert all(Path(source).exists() for source in sources)
        return
    assert_harmless(output.out)
    if form == "--json":
        assert [json.loads(line)["source"] for line in lines] == list(HOSTILE)
    else:
        assert len(lines) == len(HOSTILE) + 1
        assert lines[3].endswith("[/b].jpg")


def test_csv_is_harmless_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown, file = Terminal(), io.StringIO()
    for place in (shown, file):
        with CsvSink(place) as sink:
            for name in (*HOSTILE, "a\nb", "\x1b".encode("unicode_escape").decode(), "bad\udcff"):
                sink.write(Prediction(name, "A", 0.5, (("A", 0.5),), 1.0))
    assert_harmless(shown.getvalue())
    assert "\\x1b[2J\\x1b]0;pwned\\x07.jpg," in shown.getvalue()
    names = [row["source"] for row in csv.DictReader(io.StringIO(file.getvalue(), newline=""))]
    assert [spreadsheet_text(name) for name in names] == [*HOSTILE, "a\nb", "\\x1b", "bad\\xff"]


def test_errors_and_warnings_are_harmless(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("predict", "x.jpg", "--model", "no\x1b[2J\rne.onnx", codes=(2,))
    run("verify", "\x1b[2J[/b].aslz", codes=(2,))
    run("predict", "none\x1b[2J.jpg", codes=(2,))
    output = capsys.readouterr()
    assert_harmless(output.out + output.err)
    assert "\\x1b[2J[/b].aslz" in output.err


def test_a_table_shows_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    from asl_edge.cli.output.console import err, out, print_json, print_next, warn

    table = Table("[/b]", title="[bold]x")
    table.add_row("A/[/b].jpg \x1b[2J")
    for console in (out, err):
        console.print(table)
        console.print("A/[/b].jpg", "\x1b[2J")
        console.print("x", style="bold")
    warn("[/b]\x1b[2J")
    print_next("asl-edge predict '[/b]'")
    print_json({"\x9b": "[/b]\x1b"})
    output = capsys.readouterr()
    assert_harmless(output.out + output.err)
    assert "A/[/b].jpg \\x1b[2J" in output.out
    assert "[bold]x" in output.out


def test_csv_files_hold_no_formulas(tmp_path: Path) -> None:
    write_csv(tmp_path / "x.csv", ["=head"], [["=1+1"], ["-2"], ["+x"], ["a\rb"], [-3.5], ["\uff1dcmd"], ["\n=1"]])
    with (tmp_path / "x.csv").open(newline="") as file:
        assert [row[0] for row in csv.reader(file)] == [
            *("./=head", "./=1+1", "-2", "./+x", "a\rb", "-3.5", "./\uff1dcmd", "./\n=1"),
        ]
    written = io.StringIO()
    with CsvSink(written) as sink:
        sink.write(Prediction("a\rb", "A", 0.5, (("A", 0.5),), 1.0))
    assert len(list(csv.reader(io.StringIO(written.getvalue(), newline="")))) == 2


@pytest.mark.parametrize(
    "name",
    [
        "",
        " A",
        "A ",
        "\x1b[31m",
        "a\nb",
        "a\rb",
        "\u202e",
        "\u200b",
        "=1+1",
        "@x",
        "-x",
        "+x",
        "x" * 65,
        "\x00",
        "\x9b",
    ],
)
def test_such_names_of_classes_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="The name of a class must be") as raised:
        ModelSpec(("A", name), 8)
    assert_harmless(str(raised.value))


@pytest.mark.parametrize("name", ["A", "thumbs up", "Ü", "ㄱ", "5", "x" * 64, "don't", "-", "?"])
def test_ordinary_names_of_classes_are_not(name: str) -> None:
    assert ModelSpec(("del", name), 8).classes[1] == name


def test_a_surrogate_in_a_name_is_no_class_and_cannot_end_the_process(colour_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        ModelSpec(("A", "\ud800"), 8)
    model = onnx.load(colour_model)
    text = ModelSpec(("A", "B", "C"), 32).to_json().replace('"A"', '"\\ud800"')
    onnx.helper.set_model_props(model, {"asl_edge.spec": text})
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    run("predict", "x.jpg", "--model", path, codes=(2,))
    canvas = np.zeros((80, 80, 3), np.uint8)
    caption(canvas, "\ud800", "\udfff", (0, 0, 255))
    assert canvas.any()


ODD: tuple[object, ...] = (None, 5, 1.5, "x", [], [1], {}, {"a": 1}, {"a": {"b": []}}, True, [[1, 2, 3]])


@pytest.mark.parametrize("value", ODD, ids=str)
def test_a_card_is_written_whatever_the_spec_says(value: object) -> None:
    """Fields that must be objects are refused if they are not; what is in them is shown where it makes sense."""
    for name in ("evaluation", "trained_on", "calibration", "parity", "quantization", "made_with"):
        for inner in (value, {"source": value}, {"sources": value, "images": value, "accuracy": value, "about": value}):
            try:
                text = card(ModelSpec(("A", "B"), 8, **{name: inner}), "m.onnx")
            except ModelError:
                assert not isinstance(inner, dict)
                continue
            assert text
    figures = dict.fromkeys(
        ("images", "accuracy", "accuracy_interval_95", "correct_per_class", "most_confused", "coverage"), value
    )
    assert card(ModelSpec(("A", "B"), 8, evaluation={"a|b\nc": figures, "d": value}), "m.onnx")


def test_a_card_is_printed_harmlessly(
    tmp_path: Path, make_colour_model: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    make_colour_model(tmp_path / "m.onnx", {"evaluation": {"\x1b[2J|x\ny": {"images": 3}}, "network": "\x1b[31m"})
    run("model-card", tmp_path / "m.onnx")
    run("model-card", tmp_path / "m.onnx", "--json")
    output = capsys.readouterr()
    assert_harmless(output.out)
    assert "| \\x1b[2J&#124;x\\ny | 3 |" in output.out
