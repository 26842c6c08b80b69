from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asl_edge.errors import DataError
from asl_edge.evaluation.evaluate import make_report
from asl_edge.evaluation.predictions_file import read_predictions, write_predictions
from asl_edge.evaluation.report import ClassifiedImages, EvaluatedModel, EvaluationReport
from asl_edge.labels import CLASSES
from asl_edge.metrics import with_temperature

# What `printable` gives for the path of an image: any text but half a surrogate pair and NUL.
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


def report_of(
    classes: tuple[str, ...], labels: np.ndarray, probabilities: np.ndarray, sources: tuple[str, ...]
) -> EvaluationReport:
    return make_report(
        EvaluatedModel("m.onnx", classes, None, 1.0),
        ClassifiedImages("hands", None, labels, probabilities, sources, None, {}, ()),
        [],
    )


@settings(deadline=None, max_examples=150)
@given(
    st.lists(NAMES, min_size=1, max_size=6),
    st.lists(st.sampled_from(CLASSES) | NAMES, min_size=2, max_size=29, unique=True),
    st.sampled_from([0.02, 0.3, 5]),
    st.integers(0, 2**32 - 1),
)
def test_what_is_written_is_read_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, sources: list[str], classes: list[str], sharpness: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(len(classes), sharpness), len(sources)).astype(np.float32)
    labels = random.integers(0, len(classes), len(sources))
    path = tmp_path_factory.mktemp("written") / "predictions.csv"
    write_predictions(path, report_of(tuple(classes), labels, probabilities, tuple(sources)))
    read = read_predictions(path)
    assert read.classes == tuple(classes)
    assert read.sources == tuple(sources)
    np.testing.assert_array_equal(read.labels, labels)
    np.testing.assert_array_equal(read.probabilities, probabilities)
    assert (read.labels.dtype, read.probabilities.dtype) == (np.int64, np.float32)


GOOD = "source,label,predicted,confidence,p_A,p_B\nx.jpg,A,A,0.900000,0.9,0.1\n"


def test_what_spreadsheets_leave_is_read(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(b"\xef\xbb\xbf" + (GOOD.replace("\n", "\r\n") + "\r\n").encode())
    read = read_predictions(path)
    assert (read.classes, read.sources, read.labels.tolist()) == (("A", "B"), ("x.jpg",), [0])


TEMPERED = "source,label,predicted,confidence,temperature,p_A,p_B\nx.jpg,A,A,0.9,2.5,0.9,0.1\n"


def test_the_calibration_that_answers_went_through_is_taken_out_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    raw = rng.dirichlet(np.ones(4), 20).astype(np.float32)
    report = report_of(tuple("ABCD"), np.zeros(20, np.int64), with_temperature(raw, 2.5), ("x.jpg",) * 20)
    write_predictions(tmp_path / "p.csv", dataclasses.replace(report, temperature=2.5))
    read = read_predictions(tmp_path / "p.csv")
    assert read.temperature == 2.5
    np.testing.assert_array_equal(read.probabilities, report.probabilities)
    np.testing.assert_allclose(read.uncalibrated(), raw, atol=1e-5)


def test_a_file_of_an_older_release_says_no_temperature(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(GOOD)
    read = read_predictions(tmp_path / "p.csv")
    assert read.temperature == 1
    assert read.uncalibrated() is read.probabilities


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a predictions.csv of an evaluation: it lacks the columns source and label"),
        ("right class,A,B\nA,1,0\n", "lacks the columns source and label"),
        ("source,label,predicted,confidence\nx.jpg,A,A,0.9\n", "holds no probabilities.*Evaluate again"),
        (GOOD.replace("p_B", "p_A"), "one column per class, next to each other"),
        (GOOD.replace("confidence,p_A,p_B", "p_A,confidence,p_B"), "one column per class, next to each other"),
        (GOOD.partition("\n")[0] + "\n", "holds no images"),
        (GOOD + "y.jpg,A,A,0.9\n", r"Line 3 of .*p\.csv has 4 values, the header 6"),
        (GOOD + "y.jpg,Z,A,0.9,0.9,0.1\n", "Line 3 .*'Z' is not one of the classes A,B"),
        (GOOD + "y.jpg,A,A,0.9,0.9,x\n", "Line 3 .*is not a number"),
        (GOOD + "y.jpg,A,A,0.9,,0.1\n", "Line 3 .*is not a number"),
        (GOOD + "y.jpg,A,A,nan,nan,nan\n", "Line 3 .*add up to 1"),
        (GOOD + "y.jpg,A,A,inf,inf,0\n", "Line 3 .*add up to 1"),
        (GOOD + "y.jpg,A,A,1.2,1.2,-0.2\n", "Line 3 .*between 0 and 1"),
        (GOOD + "y.jpg,A,A,0.5,0.5,0.3\n", "Line 3 .*add up to 1"),
        (GOOD + '"y.jpg,A,A,0.9,0.9,0.1\n', "damaged or not a CSV file"),
        (b"\xff\xfe\x00source", "damaged or not a CSV file"),
        (TEMPERED.replace("2.5", "0"), "Line 2 .*the temperature must be a number above 0. Received: '0'"),
        (TEMPERED.replace("2.5", "hot"), "Line 2 .*the temperature must be a number above 0"),
        (TEMPERED + "y.jpg,A,A,0.9,1.0,0.9,0.1\n", "mixes several temperatures"),
    ],
)
def test_damage_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        read_predictions(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No such file: .*missing\.csv"):
        read_predictions(tmp_path / "missing.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_predictions(tmp_path)
