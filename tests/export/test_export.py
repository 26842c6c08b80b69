"""Export: a proved file, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from asl_edge.errors import AslEdgeError, DataError, UserError
from asl_edge.export import convert as convert_module
from asl_edge.export.export import ExportResult, export_run
from asl_edge.export.parity import OutOfToleranceError
from asl_edge.export.source.open_source import Described
from asl_edge.spec import METADATA_KEY, ModelSpec


@pytest.fixture(scope="module")
def full(mini_run: Path, tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    """The usual export of `mini_run`, for tests that only read it."""
    return export_run(mini_run, tmp_path_factory.mktemp("full") / "new" / "folder" / "model.onnx")


def test_the_file_is_self_contained_and_proved(mini_run: Path, mini_model: Any, full: ExportResult) -> None:
    result, out = full, full.model_path
    assert not result.replaced
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    images = np.load(mini_run / "samples/test_images.npy")
    for count in (1, 7, 300):
        answers = session.run(["probabilities"], {"image": images[:count]})[0]
        np.testing.assert_allclose(answers, mini_model.predict(images[:count], verbose=0), atol=1e-5)
    spec = ModelSpec.from_metadata(session.get_modelmeta().custom_metadata_map)
    assert spec == result.spec
    assert (spec.classes, spec.input_size, spec.fit, spec.colour) == (("A", "B", "C"), 32, "crop", "RGB")
    assert (spec.network, spec.precision, spec.temperature) == ("mini", "fp32", 1.0)
    assert spec.trained_on["sources"] == ["noise"]
    assert {"asl-edge", "keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "python"} <= set(spec.made_with)
    assert spec.parity["passed"] is True
    assert spec.parity["images"] == 300
    assert spec.parity["accuracy_keras"] == spec.parity["accuracy_onnx"] == pytest.approx(0.9)
    assert spec.parity["max_probability_difference"] < 1e-5
    assert onnx.load(out).producer_name == "asl-edge"


def test_the_report_beside_it_names_exactly_this_file(full: ExportResult) -> None:
    folder = full.model_path.parent
    report = json.loads((folder / "model.parity.json").read_text(encoding="utf-8"))
    assert report["sha256"] == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest() == full.sha256
    assert report["passed"] is True
    assert len(report["worst"]) == 10
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "model.parity.json"}


def test_normalisations_vanish_and_features_stay(mini_run: Path, full: ExportResult, tmp_path: Path) -> None:
    plain = export_run(mini_run, tmp_path / "plain.onnx", optimized=False)
    short = full
    assert plain.passes == ()
    assert short.passes[0].name == "fold scale and shift into weights"
    paths = (plain.model_path, short.model_path)
    sessions = [onnxruntime.InferenceSession(str(path)) for path in paths]
    kinds = [[node.op_type for node in onnx.load(path).graph.node] for path in paths]
    assert "Mul" in kinds[0]
    assert len(kinds[1]) < len(kinds[0])
    # What feeds the answers holds no factor any more; the features keep theirs beside the way.
    images = np.load(mini_run / "samples/test_images.npy")[:20]
    here, there = (session.run(["features", "probabilities"], {"image": images}) for session in sessions)
    np.testing.assert_allclose(there[0], here[0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(there[1], here[1], atol=1e-5)
    report = json.loads(short.report_path.read_text(encoding="utf-8"))
    assert report["passes"][0]["nodes_after"] < report["passes"][0]["nodes_before"]


def test_half_precision(mini_run: Path, full: ExportResult, tmp_path: Path) -> None:
    half = export_run(mini_run, tmp_path / "half.onnx", precision="fp16")
    assert half.size_bytes < 0.6 * full.size_bytes
    assert half.spec.precision == "fp16"
    assert half.parity.clear_agreement == 1
    assert half.parity.max_probability_difference > full.parity.max_probability_difference
    session = onnxruntime.InferenceSession(str(half.model_path), providers=["CPUExecutionProvider"])
    assert (session.get_inputs()[0].type, session.get_outputs()[0].type) == ("tensor(uint8)", "tensor(float)")


def spoil(monkeypatch: pytest.MonkeyPatch, name: str, factor: float) -> None:
    """Let the conversion be real, and one of its weights wrong afterwards."""
    convert = convert_module.to_onnx

    def wrong(*arguments: Any, **options: Any) -> Any:
        conversion = convert(*arguments, **options)
        for tensor in conversion.model.graph.initializer:
            if tensor.name == name:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(factor), name))
                return conversion
        raise AssertionError(f"no weight {name}")

    monkeypatch.setattr(convert_module, "to_onnx", wrong)


@pytest.mark.parametrize(
    ("name", "factor", "precision"),
    [("conv1/kernel", 1.001, "fp32"), ("logits/kernel", -1.0, "fp32"), ("dense2/kernel", 1.3, "fp16")],
)
def test_a_wrong_weight_leaves_no_file(
    mini_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, factor: float, precision: str
) -> None:
    spoil(monkeypatch, name, factor)
    with pytest.raises(OutOfToleranceError, match="was not written: its outputs differ") as raised:
        export_run(mini_run, tmp_path / "model.onnx", precision=precision)
    assert raised.value.exit_code == 1
    assert len(raised.value.report.worst) == 10
    assert list(tmp_path.iterdir()) == []


def test_a_saturated_softmax_hides_nothing(
    make_mini_model: Any, make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_mini_model(sharp=3000)
    run = make_run(tmp_path / "run", model)
    images = np.load(run / "samples/test_images.npy")
    saturated = model.predict(images, verbose=0).max(axis=1) > 0.9999999
    np.save(run / "samples/test_images.npy", images[saturated])
    np.save(run / "samples/test_classes.npy", np.load(run / "samples/test_classes.npy")[saturated])
    assert saturated.sum() > 200
    spoil(monkeypatch, "logits/kernel", 1.01)
    with pytest.raises(OutOfToleranceError) as raised:
        export_run(run, tmp_path / "model.onnx")
    report = raised.value.report
    assert report.label_agreement == 1
    assert report.max_logit_relative > 1e-3
    assert "logit" in " ".join(report.failures)


def test_an_older_file_survives_a_failed_export_and_is_replaced_by_a_good_one(
    mini_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model.onnx"
    out.write_bytes(b"older")
    with monkeypatch.context() as patched:
        spoil(patched, "conv1/kernel", 2.0)
        with pytest.raises(OutOfToleranceError, match="existing file is unchanged"):
            export_run(mini_run, out)
    assert out.read_bytes() == b"older"
    assert export_run(mini_run, out).replaced is True
    onnx.checker.check_model(onnx.load(out), full_check=True)


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are a POSIX thing")
def test_a_full_disk_leaves_nothing(mini_run: Path, tmp_path: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(AslEdgeError, match=r"model\.onnx cannot be written.*Free some space"):
            export_run(mini_run, tmp_path / "model.onnx")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_without_its_report_there_is_no_model_either(mini_run: Path, tmp_path: Path) -> None:
    (tmp_path / "model.parity.json").mkdir()
    with pytest.raises(AslEdgeError, match=r"model\.onnx cannot be written"):
        export_run(mini_run, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.parity.json"]


def test_what_cannot_be_the_output(mini_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    cases = [
        (tmp_path, "is a folder"),
        (tmp_path / "model.pb", "must end in .onnx"),
        (tmp_path / "file/m.onnx", "a file"),
    ]
    for out, message in cases:
        with pytest.raises(UserError, match=message):
            export_run(mini_run, out)
    with pytest.raises(
        UserError, match=r"Unknown precision 'fp8'. The precisions are: fp32, fp16, fp16-weights, int8\."
    ):
        export_run(mini_run, tmp_path / "model.onnx", precision="fp8")


def test_the_default_name_is_in_the_run(mini_model: Any, make_run: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", mini_model, images=20)
    assert export_run(run).model_path == run / "model.onnx"
    assert export_run(run / "best.keras", precision="fp16").model_path == run / "model-fp16.onnx"


def test_a_file_alone_needs_images_and_takes_arrays(mini_run: Path, tmp_path: Path) -> None:
    shutil.copy(mini_run / "best.keras", tmp_path / "alone.keras")
    described = Described(classes=("A", "B", "C"), fit="stretch", colour="BGR")
    with pytest.raises(DataError, match="--data"):
        export_run(tmp_path / "alone.keras", tmp_path / "model.onnx", described=described)
    assert not (tmp_path / "model.onnx").exists()
    arrays = tmp_path / "arrays"
    arrays.mkdir()
    shutil.copy(mini_run / "samples/test_images.npy", arrays / "test_set.npy")
    shutil.copy(mini_run / "samples/test_classes.npy", arrays / "test_classes.npy")
    result = export_run(tmp_path / "alone.keras", tmp_path / "model.onnx", data=arrays, described=described)
    assert (result.spec.colour, result.spec.fit, result.spec.trained_on) == ("BGR", "stretch", {})
    # The arrays are read as BGR and the model takes BGR, so they reach it as they are stored.
    assert result.parity.accuracy_onnx == pytest.approx(0.9)


def test_metadata_holds_the_spec_only(full: ExportResult) -> None:
    assert [entry.key for entry in onnx.load(full.model_path).metadata_props] == [METADATA_KEY]


def test_the_result_is_plain_json(full: ExportResult) -> None:
    values = json.loads(json.dumps(full.to_dict()))
    assert {"model_path", "report_path", "replaced", "size_bytes", "sha256", "parameters"} <= set(values)
    assert {"load_seconds", "conversion_seconds", "parity_seconds", "spec", "parity", "notes"} <= set(values)
