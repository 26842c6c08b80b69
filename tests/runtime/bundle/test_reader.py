"""Bundles: what a device reads of them, and what it refuses before anything is run."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from tiny_bundles import IMAGES, answers, members_of, npy, tiny, write

from asl_edge.cli import main
from asl_edge.errors import ModelError, ProviderError
from asl_edge.runtime import machine, model_loading
from asl_edge.runtime.bundle import golden_test as golden_module
from asl_edge.runtime.bundle import reader as bundle_module
from asl_edge.runtime.bundle.detection import MANIFEST, is_bundle
from asl_edge.runtime.bundle.golden_test import verify_bundle
from asl_edge.runtime.bundle.reader import Bundle, BundledModel
from asl_edge.runtime.engine import precision as precision_module
from asl_edge.runtime.engine.providers import PrecisionWarning
from asl_edge.runtime.engine.session import session_options
from asl_edge.runtime.model_loading import find_model, open_model
from asl_edge.runtime.onnx_file.metadata import read_spec
from asl_edge.runtime.onnx_file.protobuf import field, heading
from asl_edge.runtime.onnx_file.safety import inspect, reject_unsafe_model
from asl_edge.runtime.predictor import Predictor
from asl_edge.spec import ModelSpec


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny.aslz")


# Reading -------------------------------------------------------------------------------------------------------------


def test_a_bundle_is_read(path: Path) -> None:
    opened = Bundle(path)
    assert opened.precisions == ("fp32", "int8")
    data, spec = opened.onnx("int8")
    assert data == tiny("int8", bias=0.001)
    assert spec.precision == "int8"
    images, expected = opened.golden("fp32")
    assert np.array_equal(images, IMAGES)
    np.testing.assert_array_equal(expected, answers(tiny()))
    opened.check()
    with pytest.raises(ModelError, match=r"holds fp32, int8\. Received: fp16"):
        opened.onnx("fp16")


def test_what_is_a_bundle(path: Path, tmp_path: Path) -> None:
    assert is_bundle(path)
    assert is_bundle("not/there.aslz")
    renamed = shutil.copy(path, tmp_path / "renamed.bin")
    assert is_bundle(renamed)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as other:
        other.writestr("a.txt", "x")
    (tmp_path / "m.onnx").write_bytes(tiny())
    for name in ("other.zip", "m.onnx", "none.onnx"):
        assert not is_bundle(tmp_path / name)


def test_a_predictor_takes_the_precision_that_suits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    for kind, wanted in (("x86", "int8"), ("other", "fp32")):
        monkeypatch.setattr(precision_module, "processor", lambda kind=kind: kind)
        with Predictor(path, provider="cpu") as predictor:
            assert predictor.spec.precision == wanted
            assert predictor.model == f"{path} ({wanted})"
            assert predictor(red)[0].answer == "A"
    with Predictor(path, provider="cpu", precision="fp32") as predictor:
        assert predictor.spec.precision == "fp32"


@pytest.mark.parametrize(
    ("provider", "machine", "vnni", "wanted"),
    [
        ("cpu", "x86", True, "int8 x86"),
        ("cpu", "x86", None, "int8 x86"),
        ("cpu", "x86", False, "int8 x86"),
        ("cpu", "arm", None, "int8 arm"),
        ("cpu", "other", None, "fp32"),
        ("openvino", "x86", True, "int8 x86"),
        ("cuda", "x86", True, "fp16"),
        ("tensorrt", "arm", None, "int8 tensorrt"),
        ("coreml", "arm", None, "fp16"),
        ("xnnpack", "arm", None, "fp32"),
    ],
)
def test_which_precision_suits(
    provider: str, machine: str, vnni: bool | None, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision_module, "processor", lambda: machine)
    monkeypatch.setattr(precision_module, "has_vnni", lambda: vnni)
    models = [BundledModel(name, "", None, "", 0.0) for name in ("fp16", "fp32")]
    models += [BundledModel("int8", "", target, "", 0.0) for target in ("x86", "arm", "tensorrt")]
    best = precision_module.best_for(models, provider)
    assert (f"{best.precision} {best.target}" if best.target else best.precision) == wanted


def test_vnni_is_read_from_the_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text, wanted in (("flags\t\t: fpu avx512_vnni\n", True), ("flags : fpu avx2\n", False), (None, None)):
        file = tmp_path / "cpuinfo"
        file.unlink(missing_ok=True)
        if text is not None:
            file.write_text(text)
        monkeypatch.setattr(machine, "Path", lambda _, file=file: file)
        assert precision_module.has_vnni() is wanted


def test_where_auto_ends_elsewhere_the_other_precision_is_taken(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine whose ONNX Runtime offers CUDA without a GPU, the session is the CPU's, and so is the precision."""
    from asl_edge.runtime import model_loading

    both = write(tmp_path / "both.aslz", {"fp16": tiny("fp16"), "int8": tiny("int8")})
    monkeypatch.setattr(model_loading, "_likely", lambda provider: "cuda" if provider == "auto" else provider)
    monkeypatch.setattr(precision_module, "preference", lambda p: (("fp16" if p == "cuda" else "int8", None),))
    found, opened = open_model(both)
    assert opened.used == ("cpu",)
    assert found.spec.precision == "int8"


# Golden examples -----------------------------------------------------------------------------------------------------


def test_a_device_that_answers_alike_passes(path: Path) -> None:
    results = verify_bundle(Bundle(path), provider="cpu", threads=1)
    assert [result.precision for result in results] == ["fp32", "int8"]
    for result in results:
        assert result.passed
        assert (result.examples, result.labels_equal) == (16, 16)
        assert result.providers_used == ("cpu",)
        assert result.max_probability_difference <= 1e-6
        assert json.loads(json.dumps(result.to_dict()))["passed"] is True


def test_a_device_that_answers_otherwise_fails_and_says_where(tmp_path: Path) -> None:
    def other_answers(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        expected = answers(tiny())
        expected[3] = np.roll(expected[3], 1)
        expected[5, 0] += np.float32(0.02)
        members["golden/fp32.npy"] = npy(expected)
        facts = {"sha256": hashlib.sha256(npy(expected)).hexdigest(), "bytes": len(npy(expected))}
        manifest["members"]["golden/fp32.npy"] = facts

    result = verify_bundle(Bundle(write(tmp_path / "b.aslz", change=other_answers)), provider="cpu")[0]
    assert not result.passed
    assert result.worst[0].example == 3
    assert result.worst[0].expected != result.worst[0].predicted
    assert "differs by" in result.failures[0]


def test_a_named_provider_must_really_run(path: Path) -> None:
    with pytest.raises(ProviderError):
        verify_bundle(Bundle(path), provider="cuda")


def test_examples_of_another_size_are_refused(tmp_path: Path) -> None:
    def smaller(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        content = npy(IMAGES[:, :4])
        members["golden/images.npy"] = content
        manifest["members"]["golden/images.npy"] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }

    with pytest.raises(ModelError, match="do not fit each other"):
        verify_bundle(Bundle(write(tmp_path / "b.aslz", change=smaller)), provider="cpu")


# Refused -------------------------------------------------------------------------------------------------------------


def assert_refused(path: Path, match: str) -> None:
    """Whatever is asked of it, and before a session is made."""
    with pytest.raises(ModelError, match=match) as raised:
        Bundle(path).check()
    assert str(path) in str(raised.value)
    with pytest.raises(ModelError):
        Predictor(path, provider="cpu", precision="fp32")


@pytest.mark.parametrize("name", ["models/fp32.onnx", "golden/images.npy", "MODEL_CARD.md"])
def test_a_changed_byte_is_found(tmp_path: Path, name: str) -> None:
    def change(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        content = bytearray(members[name])
        content[len(content) // 2] ^= 1
        members[name] = bytes(content)

    path = write(tmp_path / "b.aslz", change=change)
    with pytest.raises(ModelError, match=f"{name} is not what it was"):
        Bundle(path).check()
    with pytest.raises(ModelError):
        verify_bundle(Bundle(path), provider="cpu")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_byte_can_change_unseen(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Wherever in the file: it is refused, or (in what zip itself does not read) every member is as it was."""
    folder = tmp_path_factory.mktemp("bytes")
    path = write(folder / "b.aslz")
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        opened = Bundle(path)
        opened.check()
        members = {name: opened.read(name) for name in opened._members}
    except ModelError:
        return
    assert members == members_of({"fp32": tiny(), "int8": tiny("int8", bias=0.001)})
    assert opened.precisions == ("fp32", "int8")


@pytest.mark.parametrize("name", ["../out.txt", "/etc/x", "a/../b", "C:\\x", "a/b/c", ".hidden", "a//b", "..", "a\nb"])
def test_a_path_that_leaves_is_refused(tmp_path: Path, name: str) -> None:
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = name
    assert_refused(write(tmp_path / "b.aslz", extra=[(entry, b"x")]), "not a plain file inside")


def test_a_link_is_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = 0o120777 << 16
    assert_refused(write(tmp_path / "b.aslz", extra=[(entry, b"/etc/passwd")]), "not a plain file inside")


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipfile.ZipInfo("bomb.bin")
    bomb.compress_type = zipfile.ZIP_DEFLATED
    assert_refused(write(tmp_path / "b.aslz", extra=[(bomb, bytes(3_000_000))]), "would unpack to")
    monkeypatch.setattr(bundle_module, "_LARGEST", 1000)
    assert_refused(write(tmp_path / "c.aslz"), "would unpack to")


def test_a_size_that_lies_is_found_before_it_fills_the_memory(tmp_path: Path) -> None:
    """The directory says 10 bytes, the data unpacks to millions: no more than a chunk of them is read."""
    content = bytes(8_000_000)

    def shrink(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        manifest["members"]["big.bin"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": 10}

    entry = zipfile.ZipInfo("big.bin")
    path = write(tmp_path / "b.aslz", change=shrink, extra=[(entry, content)])
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02", 0, data.rfind(b"big.bin"))
    data[at + 24 : at + 28] = struct.pack("<I", 10)
    path.write_bytes(data)
    with pytest.raises(ModelError, match="big.bin"):
        Bundle(path).check()


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    assert_refused(write(tmp_path / "b.aslz", extra=[(zipfile.ZipInfo("labels.txt"), b"x")]), "labels.txt twice")


def test_more_or_fewer_members_than_said_are_refused(tmp_path: Path) -> None:
    assert_refused(write(tmp_path / "a.aslz", extra=[(zipfile.ZipInfo("more.txt"), b"x")]), "differ in more.txt")
    assert_refused(
        write(tmp_path / "b.aslz", change=lambda _, members: members.pop("labels.txt")), "differ in labels.txt"
    )
    many = [(zipfile.ZipInfo(f"m{number}"), b"x") for number in range(80)]
    assert_refused(write(tmp_path / "c.aslz", extra=many), "members; a bundle has 64 at most")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format": 2}, "format 2, this asl-edge reads 1"),
        ({"asl_edge": {"at_least": "7.0", "below": "8.0"}}, "requires asl-edge 7.0 or newer"),
        ({"asl_edge": {"at_least": "0.0.1", "below": "0.0.2"}}, "below 0.0.2"),
        ({"asl_edge": None}, "which asl-edge can read it"),
        ({"asl_edge": {"at_least": "x", "below": "y"}}, "which asl-edge can read it"),
        ({"models": []}, "lacks a model"),
        ({"models": [{"precision": "fp32"}]}, "does not describe its models"),
        ({"members": []}, "does not say what is in it"),
        ({"golden": {}}, "does not describe its models"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    assert_refused(write(tmp_path / "b.aslz", change=lambda manifest, _: manifest.update(change)), match)


def test_what_is_no_bundle_says_so(tmp_path: Path) -> None:
    for name, content, match in (
        ("empty.aslz", b"", "not a bundle"),
        ("text.aslz", b"hello", "not a bundle"),
        ("cut.aslz", write(tmp_path / "w.aslz").read_bytes()[:-30], "not a bundle"),
    ):
        (tmp_path / name).write_bytes(content)
        assert_refused(tmp_path / name, match)
    with zipfile.ZipFile(tmp_path / "other.aslz", "w") as other:
        other.writestr("a.txt", "x")
    assert_refused(tmp_path / "other.aslz", f"has no {MANIFEST}")
    assert_refused(tmp_path / "missing.aslz", "There is no bundle")
    (tmp_path / "folder.aslz").mkdir()
    assert_refused(tmp_path / "folder.aslz", "is a folder")


# Models --------------------------------------------------------------------------------------------------------------


def changed(edit: Callable[[Any], None]) -> bytes:
    model = onnx.load_from_string(tiny())
    edit(model)
    return bytes(model.SerializeToString())


def foreign(model: Any) -> None:
    model.graph.node.append(helper.make_node("Launch", ["mean"], ["x"], domain="evil.ops"))


def external(model: Any) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../secret.bin")
    model.graph.initializer.append(tensor)


def external_in_a_branch(model: Any) -> None:
    inner = onnx.GraphProto(name="branch")
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="hidden.bin")
    inner.node.append(helper.make_node("Constant", [], ["c"], value=tensor))
    model.graph.node.append(helper.make_node("If", ["cond"], ["y"], then_branch=inner, else_branch=inner))


def own_operator(model: Any) -> None:
    model.functions.append(helper.make_function("ai.onnx", "F", ["a"], ["b"], [], []))


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (foreign, "evil.ops"),
        (lambda model: model.opset_import.add(domain="com.microsoft", version=1), "com.microsoft"),
        (external, r"\.\./\.\./secret\.bin"),
        (external_in_a_branch, "hidden.bin"),
        (own_operator, "defines its own operators"),
    ],
)
def test_strange_models_are_refused_before_they_are_run(
    tmp_path: Path, edit: Callable[[Any], None], match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = changed(edit)
    with pytest.raises(ModelError, match=match):
        reject_unsafe_model(content, "the model")

    def spoil(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
        members["models/fp32.onnx"] = content
        manifest["members"]["models/fp32.onnx"] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
        }

    path = write(tmp_path / "b.aslz", change=spoil)
    from asl_edge.runtime import model_loading
    from asl_edge.runtime.bundle import golden_test

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a session was made")

    for module in (golden_test, model_loading):
        monkeypatch.setattr(module, "open_session", never)
    with pytest.raises(ModelError, match=match):
        verify_bundle(Bundle(path), provider="cpu")
    with pytest.raises(ModelError, match=match):
        find_model(path, precision="fp32")


def test_a_model_is_looked_into() -> None:
    facts = inspect(tiny())
    assert facts.operators == {"Cast": 1, "ReduceMean": 1, "Mul": 1, "Add": 1, "Softmax": 1}
    assert facts.domains == {""}
    assert facts.external == []
    assert ModelSpec.from_metadata(facts.metadata).network == "tiny"


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 10_000))
def test_no_bytes_break_the_reader(noise: bytes, cut: int) -> None:
    """Any bytes, and any part of a model: an answer or a ValueError."""
    for content in (noise, tiny()[: cut % len(tiny())], tiny() + noise):
        reason = "read"
        try:
            inspect(content)
        except ValueError as error:
            reason = str(error)
        assert reason  # what is wrong can be told to a person


# INT8 is proved before it is used ------------------------------------------------------------------------------------


def _other_answers(manifest: dict[str, Any], members: dict[str, bytes]) -> None:
    content = npy(np.roll(answers(tiny("int8", bias=0.001)), 1, axis=1))
    members["golden/int8.npy"] = content
    manifest["members"]["golden/int8.npy"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


@pytest.fixture
def vnni(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A processor on which INT8 comes first, and a cache of one's own."""
    monkeypatch.setattr(precision_module, "processor", lambda: "x86")
    monkeypatch.setattr(precision_module, "has_vnni", lambda: True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.usefixtures("vnni")
def test_int8_that_answers_otherwise_here_is_not_used(tmp_path: Path) -> None:
    path = write(tmp_path / "wrong.aslz", change=_other_answers)
    for _ in range(2):  # the second time it is known
        with pytest.warns(PrecisionWarning, match=r"gives other results here .* fp32 is used instead") as said:
            found, opened = open_model(path, provider="cpu")
        assert len(said) == 1
        assert said[0].filename == __file__
        assert (found.spec.precision, opened.used) == ("fp32", ("cpu",))
    with pytest.raises(ModelError, match=r"gives other results here .* asl-edge verify"):
        open_model(path, provider="cpu", precision="int8")
    alone = write(tmp_path / "alone.aslz", {"int8": tiny("int8", bias=0.001)}, change=_other_answers)
    with pytest.raises(ModelError, match="It is not used"):
        open_model(alone, provider="cpu")
    assert not verify_bundle(Bundle(path), provider="cpu", precisions=("int8",))[0].passed


@pytest.mark.usefixtures("vnni")
def test_int8_is_proved_once(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Path(f"{path}.verified.json")
    asked: list[str] = []
    real = golden_module.compare
    monkeypatch.setattr(golden_module, "compare", lambda *words: asked.append(words[1]) or real(*words))
    for _ in range(2):
        assert open_model(path, provider="cpu")[0].spec.precision == "int8"
    assert asked == ["int8"]
    assert json.loads(kept.read_text())["failures"] == {"int8 on cpu": ""}
    for spoiled in ("", "[]", "{}", kept.read_text().replace('"format": 1', '"format": 2')):
        kept.write_text(spoiled)
        asked.clear()
        open_model(path, provider="cpu")
        assert asked == ["int8"]
    assert open_model(path, provider="cpu", precision="fp32")[0].spec.precision == "fp32"
    assert asked == ["int8"]  # float32 needs no proof
    kept.unlink()
    verify_bundle(Bundle(path), provider="cpu")
    assert open_model(path, provider="cpu")[0].spec.precision == "int8"
    assert asked == ["int8"]  # `verify` has proved it


@pytest.mark.usefixtures("vnni")
def test_a_proof_that_cannot_be_kept_beside_goes_to_the_cache(tmp_path: Path) -> None:
    path = write(tmp_path / "m.aslz")
    (tmp_path / "m.aslz.verified.json").mkdir()  # so that no file can stand there
    open_model(path, provider="cpu")
    (file,) = (tmp_path / "cache" / "asl-edge" / "verified").iterdir()
    assert json.loads(file.read_text())["failures"] == {"int8 on cpu": ""}


def test_int8_of_8_bits_says_where_it_may_be_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "int8.onnx"
    file.write_bytes(tiny("int8"))
    real = model_loading.open_session

    def as_openvino(*words: Any, **named: Any) -> Any:
        return replace(real(*words, **named), used=("openvino",))

    monkeypatch.setattr(precision_module, "processor", lambda: "x86")
    for fact in (False, True, None):
        monkeypatch.setattr(precision_module, "has_vnni", lambda fact=fact: fact)
        open_model(file, provider="cpu")  # exact on every processor; warnings are errors in these tests
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(model_loading, "open_session", as_openvino)
            if fact is False:
                with pytest.warns(PrecisionWarning, match="8-bit weights, and this processor has no VNNI") as caught:
                    open_model(file, provider="cpu")
                assert caught[0].filename == __file__
            else:
                open_model(file, provider="cpu")


@pytest.mark.parametrize(
    ("precision", "quantization", "wanted"),
    [
        ("int8", {}, True),
        ("int8", {"weight_limit": 127}, True),
        ("int8", {"weight_limit": 64}, False),
        ("fp32", {}, False),
    ],
)
def test_which_files_may_saturate(precision: str, quantization: dict[str, int], wanted: bool) -> None:
    spec = ModelSpec(("A", "B"), 8, precision=precision, quantization=quantization)
    assert precision_module.may_saturate(spec) is wanted


@pytest.mark.parametrize(
    ("precision", "vnni", "wanted"), [("int8", False, "1"), ("int8", True, None), ("fp32", False, None)]
)
def test_weights_of_8_bits_become_unsigned_without_vnni(
    precision: str, vnni: bool, wanted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that files of older versions are exact too: ONNX Runtime leaves weights of 7 bits as they are."""
    monkeypatch.setattr(precision_module, "processor", lambda: "x86")
    monkeypatch.setattr(precision_module, "has_vnni", lambda: vnni)
    options = session_options(1, precision=precision)
    if wanted is None:
        with pytest.raises(RuntimeError):
            options.get_session_config_entry("session.x64quantprecision")
    else:
        assert options.get_session_config_entry("session.x64quantprecision") == wanted


def test_a_bundle_whose_images_are_prepared_otherwise_is_refused(tmp_path: Path) -> None:
    model = onnx.load_from_string(tiny())
    spec = ModelSpec(classes=("A", "B", "C"), input_size=8, network="tiny", precision="fp32", preprocess_version=99)
    helper.set_model_props(model, spec.to_metadata())
    path = write(tmp_path / "m.aslz", {"fp32": model.SerializeToString()})
    with pytest.raises(ModelError, match="version 99 of the preprocessing"):
        Predictor(path)


# What hides from the reader ------------------------------------------------------------------------------------------


def _long_tag(number: int, content: bytes) -> bytes:
    """A field whose number has a bit more than protocol buffers allow, which some readers drop."""
    found, tag = bytearray(), (number << 3 | 2) | 1 << 32
    while tag > 0x7F:
        found.append(tag & 0x7F | 0x80)
        tag >>= 7
    return bytes([*found, tag]) + heading(1, len(content))[1:] + content


def test_numbers_of_fields_that_readers_take_differently_are_refused(tmp_path: Path) -> None:
    hidden = tiny() + _long_tag(8, field(1, b"com.microsoft"))
    with pytest.raises(ModelError, match="not a protocol buffer"):
        reject_unsafe_model(hidden, "m")
    file = tmp_path / "m.onnx"
    file.write_bytes(hidden)
    with pytest.raises(ModelError, match="not a protocol buffer"):
        read_spec(file)


@pytest.mark.parametrize("location", [1, 2, 1 << 32 | 1])
def test_weights_elsewhere_show_whatever_the_number(location: int) -> None:
    tensor = field(1, 1) + field(2, 1) + field(8, b"w") + field(14, location)
    facts = inspect(field(7, field(5, tensor)))
    assert facts.external


def test_a_file_that_defines_operators_is_refused(tmp_path: Path) -> None:
    """Weights of a function may lie in another file."""
    model = onnx.load_from_string(tiny())
    constant = helper.make_node("Constant", [], ["y"], value=numpy_helper.from_array(np.float32([0]), "w"))
    model.functions.append(helper.make_function("own", "F", [], ["y"], [constant], [helper.make_opsetid("", 17)]))
    file = tmp_path / "m.onnx"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="defines its own operators"):
        Predictor(file)


@pytest.mark.usefixtures("vnni")
@pytest.mark.filterwarnings("default")
def test_commands_say_so_in_a_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "wrong.aslz", change=_other_answers)
    folder = tmp_path / "images" / "A"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "a.png"), IMAGES[0])
    predict = ["predict", str(folder / "a.png"), "--model", str(path)]
    for words in (predict, ["evaluate", str(path), str(folder.parent)]):
        with pytest.raises(SystemExit) as ended:
            main([*words, "--provider", "cpu"])
        assert ended.value.code == 0
        told = capfd.readouterr().err
        assert f"{path} (int8) gives other results here than where it was exported" in told
        assert "model_loading.py" not in told
