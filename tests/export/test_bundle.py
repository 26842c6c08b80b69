"""Exporting a bundle, and the commands that take one."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from asl_edge.cli import main
from asl_edge.errors import UserError
from asl_edge.export import bundle as bundle_module
from asl_edge.export.bundle import export_bundle
from asl_edge.export.parity import OutOfToleranceError
from asl_edge.runtime.bundle import verified
from asl_edge.runtime.bundle.reader import Bundle
from asl_edge.spec import ModelSpec


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


@pytest.fixture(scope="module")
def trained(mini_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mini_run` with a training sample and a model card."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    shutil.copytree(mini_run, folder)
    for name in ("images", "classes"):
        shutil.copy(folder / f"samples/test_{name}.npy", folder / f"samples/train_{name}.npy")
    (folder / "model-card.md").write_text("# A card\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def bundle(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles") / "mini.aslz"
    result = export_bundle(trained, out, golden=16)
    assert [built.spec.precision for built in result.models] == ["fp32", "fp16", "int8"]
    assert all(item.passed for item in result.verified)
    assert result.golden_from == "synthetic hands"
    return out


def test_what_is_in_it(bundle: Path, trained: Path) -> None:
    opened = Bundle(bundle)
    opened.check()
    assert opened.precisions == ("fp32", "fp16", "int8")
    assert opened.read("labels.txt") == b"A\nB\nC\n"
    assert opened.read("MODEL_CARD.md") == b"# A card\n"
    assert b"noise" in opened.read("LICENSE.txt")
    assert json.loads(opened.read("spec.json"))["classes"] == ["A", "B", "C"]
    spec = opened.onnx("int8")[1]
    assert isinstance(spec, ModelSpec)
    assert spec.quantization["target"] == opened.model("int8").target == "x86"
    images, expected = opened.golden("fp32")
    assert images.shape == (16, 32, 32, 3)
    assert expected.shape == (16, 3)
    # Golden examples are drawn: no image of the run travels.
    samples = np.load(trained / "samples/test_images.npy").reshape(300, -1)
    assert not any((samples == image.ravel()).all(axis=1).any() for image in images)


def test_only_the_bundle_is_left_in_the_folder(bundle: Path) -> None:
    """The golden tests of INT8 run on the temporary file; their record must not stay under its name."""
    record = bundle.name + verified.SUFFIX  # written when the bundle is used, as other tests here do
    assert {path.name for path in bundle.parent.iterdir()} - {record} == {bundle.name}


def test_the_same_run_makes_the_same_bytes(bundle: Path, trained: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.aslz"
    export_bundle(trained, again, precisions=("fp32",), golden=16)
    first = again.read_bytes()
    export_bundle(trained, again, precisions=("fp32",), golden=16)
    assert again.read_bytes() == first
    with zipfile.ZipFile(bundle) as one, zipfile.ZipFile(again) as other:
        assert one.read("models/fp32.onnx") == other.read("models/fp32.onnx")


def test_real_examples_are_asked_for(trained: Path, tmp_path: Path) -> None:
    result = export_bundle(trained, tmp_path / "b.aslz", precisions=("fp32",), golden=20, real_examples=True)
    assert result.golden_from == "test sample of run"
    images = Bundle(result.path).golden("fp32")[0]
    samples = np.load(trained / "samples/test_images.npy")
    assert any(np.array_equal(images[0], sample) for sample in samples)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"out": "b.zip"}, r"must end in \.aslz"),
        ({"golden": 3}, "16 golden examples"),
        ({"precisions": ()}, "each precision once"),
        ({"precisions": ("fp32", "fp32")}, "each precision once"),
        ({"precisions": ("fp8",)}, "Unknown precision"),
    ],
)
def test_what_is_refused(trained: Path, tmp_path: Path, options: dict[str, Any], match: str) -> None:
    out = tmp_path / options.pop("out", "b.aslz")
    with pytest.raises(UserError, match=match):
        export_bundle(trained, out, **options)
    assert not out.exists()


def test_a_precision_that_fails_leaves_the_older_bundle(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "b.aslz"
    out.write_bytes(b"older")
    real = bundle_module.build

    def wrong(prepared: Any, precision: str, int8: Any) -> Any:
        for tensor in prepared.graph.graph.initializer:
            if tensor.name == "logits/kernel":
                tensor.raw_data = (-np.frombuffer(tensor.raw_data, np.float32)).tobytes()
        return real(prepared, precision, int8)

    monkeypatch.setattr(bundle_module, "build", wrong)
    with pytest.raises(OutOfToleranceError, match="existing file is unchanged"):
        export_bundle(trained, out, precisions=("fp32",))
    assert out.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [out]


def test_the_commands_take_it(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed, advice = run(capsys, "verify", bundle, "--provider", "cpu", "--threads", "1")
    assert code == 0
    assert printed.count("pass") == 3
    assert "asl-edge predict" in advice
    code, printed, _ = run(capsys, "verify", bundle, "--json", "--precision", "fp32")
    assert (code, json.loads(printed)["passed"]) == (0, True)

    hands = tmp_path / "hands"
    for name in "ABC":
        (hands / name).mkdir(parents=True)
        for number in range(3):
            noise = np.random.default_rng([ord(name), number]).integers(0, 256, (40, 40, 3), dtype=np.uint8)
            cv2.imwrite(str(hands / name / f"{number}.png"), noise)
    code, printed, _ = run(capsys, "predict", hands / "A/0.png", "--model", bundle, "--json")
    assert code == 0
    code, printed, _ = run(capsys, "evaluate", bundle, hands, "--json")
    assert code == 0
    code, printed, _ = run(
        capsys, "benchmark", "--model", bundle, "--rounds", 1, "--runs", 2, "--warmup", 1, "--threads", 1,
        "--batch-size", 1, "--provider", "cpu", "--json",
    )  # fmt: skip
    assert code == 0
    code, printed, _ = run(capsys, "model-card", bundle)
    assert code == 0
    assert printed.startswith("# A card")


def test_a_changed_bundle_fails_in_words(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray(bundle.read_bytes())
    for precision in Bundle(bundle).precisions:  # whichever suits this machine
        model = Bundle(bundle).read(f"models/{precision}.onnx")
        content[content.index(model) + len(model) // 2] ^= 1  # models are stored as they are
    spoiled, image = tmp_path / "spoiled.aslz", tmp_path / "a.png"
    spoiled.write_bytes(content)
    cv2.imwrite(str(image), np.zeros((40, 40, 3), np.uint8))
    for words in (("verify", spoiled), ("evaluate", spoiled, tmp_path), ("predict", image, "--model", spoiled)):
        code, _, advice = run(capsys, *words)
        assert code == 2
        assert "cannot be used" in advice
        assert "Traceback" not in advice


def test_a_file_alone_wants_to_know_its_run(colour_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, advice = run(capsys, "verify", colour_model)
    assert code == 2
    assert "--against RUN" in advice


def test_bundle_and_out_exclude_each_other(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "b.aslz"
    for extra in (("--out", tmp_path / "m.onnx"), ("--no-optimize",)):
        code, _, advice = run(capsys, "export", trained, "--bundle", out, *extra)
        assert code == 2
        assert "--bundle" in advice
    code, printed, advice = run(capsys, "export", trained, "--bundle", out, "--precision", "fp32,fp16")
    assert code == 0
    assert "2 precisions, 24 golden examples (synthetic hands)" in printed
    assert f"asl-edge verify {out}" in advice
