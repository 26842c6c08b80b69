"""Other precisions made from a file that was exported before: the model in the box is all that a person has of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asl_edge.data.synthetic import synthesize
from asl_edge.errors import ModelError, UserError
from asl_edge.export.build import Int8Choices
from asl_edge.export.export import ExportResult, export_run
from asl_edge.export.source.open_source import Described
from asl_edge.export.verify import verify
from asl_edge.runtime.onnx_file.metadata import read_metadata
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.pretrained import pretrained_model
from asl_edge.spec import CARD_KEY, ModelSpec


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hands") / "drawn"
    synthesize(folder, per_class=2, size=128, workers=1, clip_frames=1)
    return folder


@pytest.fixture(scope="module")
def exported(hands: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportResult]:
    folder, choices = tmp_path_factory.mktemp("exported"), Int8Choices(calibration=hands)
    return {
        precision: export_run("box", folder / f"{precision}.onnx", precision=precision, data=hands, int8=choices)
        for precision in ("fp32", "int8")
    }


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_model_in_the_box_in_another_precision(
    hands: Path, exported: dict[str, ExportResult], precision: str
) -> None:
    result = exported[precision]
    out = result.model_path
    box, made = (read_metadata(path) for path in (pretrained_model(), out))
    before, after = ModelSpec.from_metadata(box), ModelSpec.from_metadata(made)
    assert made[CARD_KEY] == box[CARD_KEY]
    varies = {"precision", "parity", "quantization", "made_with"}
    assert replace(after, **{name: getattr(before, name) for name in varies}) == before
    assert after.precision == precision
    assert result.parity.passed

    images = np.stack([np.asarray(image) for image in _images(hands)])
    with Predictor(pretrained_model()) as one, Predictor(out) as other:
        expected, answered = one.probabilities(images), other.probabilities(images)
    np.testing.assert_allclose(answered, expected, atol=2e-5 if precision == "fp32" else 0.15)
    if precision == "int8":
        assert out.stat().st_size < 0.55 * Path(pretrained_model()).stat().st_size
        assert (answered.argmax(axis=1) == expected.argmax(axis=1)).mean() >= 0.95


def test_an_adaptation_for_the_file_fits_what_is_made_of_it(hands: Path, exported: dict[str, ExportResult]) -> None:
    from asl_edge.data.synthetic.rehearsal_images import stand_ins
    from asl_edge.runtime.adapt import adapt

    with Predictor(pretrained_model()) as predictor:
        adapted, _ = adapt(predictor, [hands], draw=stand_ins)
    out = exported["fp32"].model_path
    some = _images(hands)[:20]
    with (
        Predictor(pretrained_model(), adaptation=adapted) as one,
        Predictor(out, adaptation=adapted) as two,
    ):
        for first, second in zip(one(some), two(some), strict=True):
            assert first.label == second.label
            assert first.confidence == pytest.approx(second.confidence, abs=1e-3)


def test_what_cannot_be_made_of_it_is_said(hands: Path, exported: dict[str, ExportResult], tmp_path: Path) -> None:
    copy = tmp_path / "model.onnx"
    shutil.copy(pretrained_model(), copy)
    with pytest.raises(UserError, match="would be overwritten by its own export"):
        export_run(copy, data=hands)
    with pytest.raises(ModelError, match="carries its own spec"):
        export_run(copy, tmp_path / "other.onnx", data=hands, described=Described(classes=("A", "B")))
    with pytest.raises(UserError, match="--data"):
        export_run(copy, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="does not exist"):
        export_run(tmp_path / "none", copy, data=hands)
    with pytest.raises(ModelError, match="8-bit weights"):
        export_run(exported["int8"].model_path, tmp_path / "other.onnx", data=hands)
    copy.write_bytes(copy.read_bytes()[:100_000])
    with pytest.raises(ModelError, match="not an ONNX model, or is damaged"):
        export_run(copy, tmp_path / "other.onnx", data=hands)
    assert not (tmp_path / "other.onnx").exists()


def _images(hands: Path) -> list[np.ndarray]:
    from asl_edge.imaging.preprocess import load

    return [load(path, 128) for path in sorted(hands.rglob("*.jpg"))]


def test_it_is_verified_against_the_file_that_it_was_made_of(hands: Path, exported: dict[str, ExportResult]) -> None:
    assert verify(exported["int8"].model_path, "box", data=hands).parity.passed


def test_a_network_that_answers_otherwise_than_its_file_is_refused(hands: Path, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(pretrained_model())
    for node in model.graph.node:  # another activation, which the rebuilt network does not have
        if node.op_type == "Relu":
            node.op_type = "Sigmoid"
            break
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="cannot be rebuilt as a network"):
        export_run(tmp_path / "other.onnx", tmp_path / "made.onnx", data=hands)
