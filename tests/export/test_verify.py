"""Verification: the right file passes at any time, every other one fails."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import numpy_helper

from asl_edge.errors import ModelError, ParityError
from asl_edge.export.export import export_run
from asl_edge.export.parity import OutOfToleranceError
from asl_edge.export.source.open_source import Described
from asl_edge.export.verify import verify
from asl_edge.spec import ModelSpec


@pytest.fixture(scope="module")
def exported(mini_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("exported")
    return {p: export_run(mini_run, folder / f"{p}.onnx", precision=p).model_path for p in ("fp32", "fp16")}


def with_spec(path: Path, out: Path, **changes: Any) -> Path:
    model = onnx.load(path)
    spec = ModelSpec.from_metadata({entry.key: entry.value for entry in model.metadata_props})
    onnx.helper.set_model_props(model, ModelSpec(**{**vars(spec), **changes}).to_metadata())
    onnx.save(model, out)
    return out


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_right_file_passes(exported: dict[str, Path], mini_run: Path, precision: str) -> None:
    result = verify(exported[precision], mini_run)
    assert result.parity.passed
    assert result.parity.precision == precision
    assert result.parity.images == 300
    assert verify(exported[precision], mini_run / "best.keras").parity.max_logit_difference == pytest.approx(
        result.parity.max_logit_difference, rel=0.5
    )


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_other_weights_fail(
    exported: dict[str, Path], make_mini_model: Any, make_run: Any, tmp_path: Path, precision: str
) -> None:
    other = make_run(tmp_path / "other", make_mini_model(seed=9))
    with pytest.raises(OutOfToleranceError, match="does not agree"):
        verify(exported[precision], other)


def test_one_changed_weight_fails(exported: dict[str, Path], mini_run: Path, tmp_path: Path) -> None:
    model = onnx.load(exported["fp32"])
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "logits/bias")
    values = numpy_helper.to_array(bias).copy()
    values[0] += 1e-2
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    onnx.save(model, tmp_path / "changed.onnx")
    with pytest.raises(OutOfToleranceError):
        verify(tmp_path / "changed.onnx", mini_run)


def test_other_classes_size_fit_and_colour_fail(
    exported: dict[str, Path], make_mini_model: Any, make_run: Any, mini_run: Path, tmp_path: Path
) -> None:
    four = make_run(tmp_path / "four", make_mini_model(4), images=4)
    large = make_run(tmp_path / "large", make_mini_model(size=40), images=4)
    for run, message in (
        (four, "classes is A,B,C in the file and A,B,C,D in the source"),
        (large, "input size is 32 in the file and 40 in the source"),
    ):
        with pytest.raises(ParityError, match=message):
            verify(exported["fp32"], run)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"classes": ("A", "C", "B")}, "classes is A,C,B in the file and A,B,C in the source"),
        ({"fit": "pad"}, "fit is pad in the file and crop in the source"),
        ({"colour": "BGR"}, "colour order is BGR in the file and RGB in the source"),
        ({"input_size": 64}, "input size is 64 in the file"),
    ]
    for change, message in changes:
        changed = with_spec(exported["fp32"], tmp_path / "changed.onnx", **change)
        with pytest.raises(ParityError, match=message) as raised:
            verify(changed, mini_run)
        assert raised.value.exit_code == 1


def test_a_spec_that_contradicts_its_graph_fails(
    exported: dict[str, Path], mini_model: Any, make_run: Any, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", mini_model, images=4)
    model = onnx.load(exported["fp32"])
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "H"
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(ParityError, match="the graph's image is"):
        verify(tmp_path / "odd.onnx", run)


def test_against_a_keras_file_alone_the_spec_names_the_classes(
    exported: dict[str, Path], mini_run: Path, make_mini_model: Any, tmp_path: Path
) -> None:
    shutil.copy(mini_run / "best.keras", tmp_path / "alone.keras")
    arrays = tmp_path / "arrays"
    arrays.mkdir()
    shutil.copy(mini_run / "samples/test_images.npy", arrays / "test_set.npy")
    shutil.copy(mini_run / "samples/test_classes.npy", arrays / "test_classes.npy")
    assert verify(exported["fp32"], tmp_path / "alone.keras", data=arrays).parity.passed
    with pytest.raises(ParityError, match="fit is crop in the file and pad in the source"):
        verify(exported["fp32"], tmp_path / "alone.keras", data=arrays, described=Described(fit="pad"))
    make_mini_model(4).save(tmp_path / "four.keras")
    with pytest.raises(ModelError, match="4 outputs"):
        verify(exported["fp32"], tmp_path / "four.keras", data=arrays)


def test_files_that_cannot_be_verified(exported: dict[str, Path], mini_run: Path, tmp_path: Path) -> None:
    data = exported["fp32"].read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.onnx").write_text("no model", encoding="utf-8")
    (tmp_path / "empty.onnx").write_bytes(b"")
    for name in ("cut", "text", "empty"):
        with pytest.raises(ModelError, match="damaged|not valid"):
            verify(tmp_path / f"{name}.onnx", mini_run)
    with pytest.raises(ModelError, match="cannot be read"):
        verify(tmp_path / "missing.onnx", mini_run)
    model = onnx.load(exported["fp32"])
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    with pytest.raises(ModelError, match="no asl-edge spec"):
        verify(tmp_path / "bare.onnx", mini_run)
    with pytest.raises(ModelError, match="Unknown precision 'int3'"):
        verify(with_spec(exported["fp32"], tmp_path / "int3.onnx", precision="int3"), mini_run)
