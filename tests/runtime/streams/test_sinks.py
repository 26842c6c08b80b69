from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from asl_edge.process.printable import on_one_line
from asl_edge.runtime.streams.prediction import Prediction
from asl_edge.runtime.streams.sinks import CsvSink, JsonLinesSink, TableSink

SURE = Prediction("hands/ä, 1.jpg", "A", 0.98765, (("A", 0.98765), ("space", 0.01), ("B", 0.002)), 3.25)
UNSURE = Prediction("clip.mp4", "nothing", 0.4, (("nothing", 0.4), ("A", 0.3)), 12.5, accepted=False, frame=7)


class Flushes(io.StringIO):
    """Counts how many lines were out whenever it was flushed."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []

    def flush(self) -> None:
        self.lines.append(self.getvalue().count("\n"))


def test_json_lines() -> None:
    file = io.StringIO()
    with JsonLinesSink(file) as sink:
        sink.write(SURE)
        sink.write(UNSURE)

    first, second = (json.loads(line) for line in file.getvalue().splitlines())
    assert first == {
        "source": "hands/ä, 1.jpg",
        "label": "A",
        "confidence": 0.98765,
        "accepted": True,
        "top": [
            {"label": "A", "confidence": 0.98765},
            {"label": "space", "confidence": 0.01},
            {"label": "B", "confidence": 0.002},
        ],
        "ms": 3.25,
    }
    assert (second["frame"], second["label"], second["accepted"]) == (7, "nothing", False)


def test_where_a_second_look_went_is_written() -> None:
    again = replace(SURE, crop_box=(0.125, 0.2, 0.5))
    lines, rows = io.StringIO(), io.StringIO()
    JsonLinesSink(lines).write(again)
    with CsvSink(rows) as sink:
        sink.write(again)

    assert json.loads(lines.getvalue())["crop_box"] == [0.125, 0.2, 0.5]
    assert json.loads(lines.getvalue())["region"] == [0.125, 0.2, 0.5], "the earlier name, for one release"
    assert next(csv.DictReader(io.StringIO(rows.getvalue())))["crop_box"] == "0.1250 0.2000 0.5000"


@pytest.mark.parametrize(("encoding", "raw"), [("utf-8", True), ("UTF8", True), ("cp1252", False), ("ascii", False)])
def test_json_fits_into_any_encoding(encoding: str, raw: bool) -> None:
    data = io.BytesIO()
    file = io.TextIOWrapper(data, encoding=encoding, errors="backslashreplace")
    strange = Prediction("hände/\udcff 手.jpg", "A", 1.0, (("A", 1.0),), 1.0)

    JsonLinesSink(file).write(strange)

    text = data.getvalue().decode(encoding)
    assert json.loads(text)["source"] == strange.source
    assert ("手" in text) is raw


def test_csv() -> None:
    file = io.StringIO()
    with CsvSink(file) as sink:
        sink.write(SURE)
        sink.write(UNSURE)

    first, second = csv.DictReader(io.StringIO(file.getvalue()))
    assert first == {
        "source": "hands/ä, 1.jpg",
        "frame": "",
        "label": "A",
        "confidence": "0.987650",
        "accepted": "true",
        "top": "A=0.987650 space=0.010000 B=0.002000",
        "ms": "3.250",
        "crop_box": "",
    }
    assert (second["frame"], second["accepted"]) == ("7", "false")


def test_the_table_is_aligned() -> None:
    file = io.StringIO()
    with TableSink(file) as sink:
        sink.write(SURE)
        sink.write(UNSURE)

    heading, sure, unsure = file.getvalue().splitlines()
    assert heading.split() == ["letter", "confidence", "next", "ms", "image"]
    assert sure.split() == ["A", "98.8%", "space", "1%", "B", "0%", "3.2", "hands/ä,", "1.jpg"]
    assert unsure.startswith("not sure")
    # What it would have said stands among the candidates.
    assert f"{UNSURE.label} {UNSURE.confidence:.0%}" in unsure
    assert unsure.endswith("clip.mp4 frame 7")
    assert heading.index("image") == sure.index("hands") == unsure.index("clip")


def test_csv_has_a_heading_also_without_predictions() -> None:
    file = io.StringIO()
    with CsvSink(file):
        pass

    assert file.getvalue() == ",".join(CsvSink.COLUMNS) + "\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("new\nline.jpg", "new\\nline.jpg"),
        ("tab\tand\x1b[31mred.jpg", "tab\\tand\\x1b[31mred.jpg"),
        ("\u2028.jpg", "\\u2028.jpg"),
        ("\udcff\ud800.jpg", "\\xff\\ud800.jpg"),
        ("hände 手\u202f.jpg", "hände 手\u202f.jpg"),
    ],
)
def test_a_name_never_breaks_the_table(name: str, shown: str) -> None:
    file = io.StringIO()
    TableSink(file).write(Prediction(name, "A", 1.0, (("A", 1.0),), 1.0, frame=3))

    assert on_one_line(name) == shown
    assert file.getvalue().splitlines()[1].endswith(f"  {shown} frame 3")


def test_a_table_without_alternatives() -> None:
    file = io.StringIO()
    TableSink(file).write(Prediction("a.jpg", "A", 1.0, (("A", 1.0),), 1.0))

    assert file.getvalue().splitlines()[0].split() == ["letter", "confidence", "ms", "image"]


@pytest.mark.parametrize("kind", [TableSink, JsonLinesSink, CsvSink])
def test_each_line_is_out_at_once(kind: type) -> None:
    file = Flushes()
    sink = kind(file)
    sink.write(SURE)
    sink.write(SURE)

    heading = 0 if kind is JsonLinesSink else 1
    assert file.lines == [heading + 1, heading + 2]
