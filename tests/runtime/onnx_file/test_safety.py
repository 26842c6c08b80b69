"""Models that asl-edge would not have written are refused before anything of them is run, quickly and in a sentence."""

# ruff: noqa: E501 - a model stands on one line

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_bundles import tiny

from asl_edge.errors import ModelError
from asl_edge.runtime import model_loading
from asl_edge.runtime.engine import session as sessions
from asl_edge.runtime.engine.session import open_session
from asl_edge.runtime.model_loading import find_model
from asl_edge.runtime.onnx_file.model_file import ModelFile
from asl_edge.runtime.onnx_file.protobuf import MOST_FIELDS, field
from asl_edge.runtime.onnx_file.safety import reject_unsafe_model
from asl_edge.runtime.predictor import Predictor
from asl_edge.spec import ModelSpec

IMAGE = np.zeros((9, 9, 3), np.uint8)


def model(body: str, *weights: np.ndarray, spec: dict[str, Any] | None = None, outputs: str = "") -> bytes:
    """Return a model of 8 by 8 images and three classes; `body` may use f, the image as float32, and w0, w1, ..."""
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
        g (uint8[N,8,8,3] image) => (float[N,3] probabilities{outputs}) {{ f = Cast <to = 1> (image) {body} }}"""
    graph = onnx.parser.parse_model(text)
    graph.graph.initializer.extend(numpy_helper.from_array(value, f"w{n}") for n, value in enumerate(weights))
    fields: dict[str, Any] = {"classes": ("A", "B", "C"), "input_size": 8, "network": "tiny"} | (spec or {})
    helper.set_model_props(graph, ModelSpec(**fields).to_metadata())
    return bytes(graph.SerializeToString())


MEANS = "m = ReduceMean <axes = [1, 2], keepdims = 0> (f)"
ANSWER = f"{MEANS} probabilities = Softmax (m)"
LARGE = np.array([3_000_000_000], np.int64)

PROGRAMS = {
    "loop": (
        f"n = Constant <value = int64 {{4611686018427387904}}> () c = Constant <value = bool {{1}}> () {MEANS}"
        " probabilities = Loop (n, c, m) <body = b (int64 i, bool k, float[N,3] a) => (bool k2, float[N,3] z)"
        " { k2 = Identity (k) z = Softmax (a) }>",
        "operator Loop",
    ),
    "branch": (
        f"c = Constant <value = bool {{1}}> () {MEANS} probabilities = If (c) <then_branch = t () => (float[N,3] a)"
        " { a = Softmax (m) }, else_branch = e () => (float[N,3] b) { b = Softmax (m) }>",
        "operator If",
    ),
    "fill": (f"{ANSWER} z = ConstantOfShape (w0)", "operator ConstantOfShape"),
    "expand": (f"{ANSWER} z = Expand (f, w0)", "operator Expand"),
    "tile": (f"{ANSWER} z = Tile (f, w0)", "operator Tile"),
    "range": (f"{ANSWER} a = Constant <value_int = 0> () b = Constant <value_int = 1> () z = Range (a, w0, b)", "operator Range"),
    "random": (f"{ANSWER} z = RandomNormal <shape = [1000000, 1000000]> ()", "operator RandomNormal"),
    "one-hot": (f"{ANSWER} z = OneHot (f, w0, f)", "operator OneHot"),
    "foreign": (f"{ANSWER} z = com.microsoft.Gelu (m)", "com.microsoft, which are not standard"),
    "pad": (f"{ANSWER} p = Constant <value_ints = [0,50000,50000,0,0,0,0,0]> () z = Pad (f, p)", "numbers for one image"),
    "constant pad": (
        f"{ANSWER} a = Constant <value_floats = [1.0]> () p = Constant <value_ints = [0, 3000000000]> () z = Pad (a, p)",
        "more memory or arithmetic",
    ),
    "resize": (
        f"{ANSWER} s = Constant <value_floats = [1.0, 9999.0, 9999.0, 1.0]> () z = Resize (f, , s)",
        "numbers for one image",
    ),
    "doubling": (ANSWER + "".join(f" d{n + 1} = Concat <axis = 1> (d{n}, d{n})" for n in range(40)).replace("(d0, d0)", "(f, f)"), "numbers for one image"),
    "outer product": (f"{ANSWER} a = Transpose (w0) z = MatMul (w0, a)", "its nodes make 100,010,000 numbers"),
    "broadcast": (f"{ANSWER} a = Transpose (w0) z = Add (w0, a)", "its nodes make 100,010,000 numbers"),
    "padded convolution": (
        f"{ANSWER} t = Transpose <perm = [0,3,1,2]> (f) z = Conv <pads = [90000,90000,90000,90000]> (t, w1)",
        "numbers for one image",
    ),
    "many products": (
        f"{ANSWER} a = Transpose (w2) "
        + " ".join(f"p{n + 1} = MatMul (p{n}, a)" for n in range(300)).replace("(p0,", "(w2,"),
        "its nodes make 17,000,000 numbers",
    ),
    "shape of the batch": (
        f"{ANSWER} s = Shape (m) a = Mul (s, s) b = Mul (a, a) z = Pad (m, b)",
        "depends on the number of images",
    ),
}  # fmt: skip
WEIGHTS = (np.ones((10_000, 1), np.float32), np.ones((1, 3, 1, 1), np.float32), np.ones((1000, 1000), np.float32))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_model_that_asks_for_too_much_is_refused_at_once(tmp_path: Path, name: str) -> None:
    body, reason = PROGRAMS[name]
    weights = WEIGHTS if "w1" in body or "w2" in body or "Transpose (w0)" in body else (LARGE,)
    path = tmp_path / "model.onnx"
    path.write_bytes(model(body, *weights))
    started = time.perf_counter()

    for expected in (None, 1):  # each way to open a file
        with pytest.raises(ModelError, match=reason):
            Predictor(path, provider="cpu", expected=expected)
    assert time.perf_counter() - started < 2


def test_ordinary_operators_run(tmp_path: Path) -> None:
    """What Keras layers become: convolutions, pooling, batch normalisation, activations, padding, flattening."""
    body = """t = Transpose <perm = [0,3,1,2]> (f) p = Pad (t, w0) c = Conv <strides = [2,2]> (p, w1)
        b = BatchNormalization (c, w2, w2, w2, w2) r = LeakyRelu (b) s = Sigmoid (r) h = Mul (r, s)
        x = MaxPool <kernel_shape = [2,2], strides = [2,2]> (h) d = Dropout (x) l = Flatten (d)
        g = Gemm (l, w3) n = Shape (g) first = Slice (n, w4, w5) j = Concat <axis = 0> (first, w6) q = Reshape (g, j)
        probabilities = Softmax (q)"""
    weights = (
        np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64), np.ones((4, 3, 3, 3), np.float32), np.ones(4, np.float32),
        np.ones((16, 3), np.float32), np.array([0], np.int64), np.array([1], np.int64), np.array([3], np.int64),
    )  # fmt: skip
    path = tmp_path / "model.onnx"
    path.write_bytes(model(body, *weights))
    with Predictor(path, provider="cpu") as predictor:
        assert predictor([IMAGE, IMAGE])[1].confidence == pytest.approx(1 / 3)


# What is checked is what is run ---------------------------------------------------------------------------------------


def polyglot() -> bytes:
    """A model that is a protocol buffer, and by its bytes 4 to 7 a file in ONNX Runtime's own format."""
    # Field 15 of a ModelProto is unknown; its content is skipped.
    return field(15, b"..ORTM") + tiny()


def test_onnx_runtime_s_own_format_is_refused(tmp_path: Path) -> None:
    content = polyglot()
    assert content[4:8] == b"ORTM"
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    for expected in (None, 1):
        with pytest.raises(ModelError, match="own format"):
            Predictor(path, provider="cpu", expected=expected)
    # And whatever is checked, ONNX Runtime is told what to read.
    options = sessions.session_options(1)
    assert options.get_session_config_entry("session.load_model_format") == "ONNX"


@pytest.mark.parametrize("expected", [None, 1])
def test_a_file_that_is_replaced_after_the_check_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: int | None
) -> None:
    """Another model takes the place of the first one between any two steps: neither its spec nor its graph is used."""
    path, other = tmp_path / "model.onnx", tmp_path / "other.onnx"
    path.write_bytes(model(ANSWER))
    other.write_bytes(model("probabilities = Identity (w0)", np.full((2, 3), 6, np.float32), spec={"network": "other"}))
    real = ModelFile.__init__

    def replaced_afterwards(self: ModelFile, *arguments: Any) -> None:
        real(self, *arguments)
        shutil.copy(other, path)

    monkeypatch.setattr(ModelFile, "__init__", replaced_afterwards)
    with pytest.raises(ModelError, match="was replaced while it was opened"):
        Predictor(path, provider="cpu", expected=expected)


def test_the_bytes_that_are_checked_are_the_bytes_that_are_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model(ANSWER))
    made: list[Any] = []
    real = sessions._make

    def remember(content: Any, *arguments: Any) -> Any:
        path.unlink()  # nobody reads the file again
        made.append(content)
        return real(content, *arguments)

    monkeypatch.setattr(sessions, "_make", remember)
    with Predictor(path, provider="cpu") as predictor:
        assert predictor([IMAGE])[0].label == "A"
    assert made == [model(ANSWER)]


# Small files, much work -----------------------------------------------------------------------------------------------


def test_millions_of_empty_fields_are_not_read() -> None:
    started = time.perf_counter()
    with pytest.raises(ModelError, match=f"more than {MOST_FIELDS} fields"):
        reject_unsafe_model(tiny() + field(30, b"") * 12_000_000, "m")
    assert time.perf_counter() - started < 5


def test_many_references_to_other_files_are_refused_quickly() -> None:
    tensor = (
        field(1, 1) + field(2, 1) + field(8, b"w") + field(14, 1) + field(13, field(1, b"location") + field(2, b"x"))
    )
    started = time.perf_counter()
    for count in (30_000, 400_000):
        with pytest.raises(ModelError):
            reject_unsafe_model(field(7, field(5, tensor) * count), "m")
    assert time.perf_counter() - started < 5


def test_weights_that_are_not_there_are_not_allocated() -> None:
    graph = onnx.load_from_string(model(ANSWER))
    graph.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[100_000, 100_000]))
    with pytest.raises(ModelError, match="more numbers than it holds"):
        reject_unsafe_model(graph.SerializeToString(), "m")


@pytest.mark.parametrize("size", [1025, 40_000, 2_000_000_000])
def test_images_have_a_largest_size(tmp_path: Path, size: int) -> None:
    text = ModelSpec(("A", "B", "C"), 8).to_json().replace('"input_size": 8', f'"input_size": {size}')
    graph = onnx.load_from_string(model(ANSWER))
    helper.set_model_props(graph, {"asl_edge.spec": text})
    path = tmp_path / "m.onnx"
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(ModelError, match="input_size must be .* 1024 at most"):
        Predictor(path)


# Answers that are none ------------------------------------------------------------------------------------------------

ZOOM = {"weights": [0.0, 0.0], "bias": -1.0, "margin": 1.0, "limit": 0.8, "share": 0.5}
WITH_FEATURES = {"features": 2, "zoom": ZOOM}
MORE = ", float[N,2] features, float[N,3,R,K] class_maps"
MAPS = "t = Transpose <perm = [0,3,1,2]> (f) class_maps = AveragePool <kernel_shape = [2,2], strides = [2,2]> (t)"


@pytest.mark.parametrize(
    ("body", "weights", "spec", "outputs", "reason"),
    [
        ("probabilities = Mul (m, w0)", [np.float32([6, 0, 0])], {}, "", "no probabilities"),
        ("s = Softmax (m) probabilities = Mul (s, w0)", [np.float32(6)], {}, "", "no probabilities"),
        ("s = Softmax (m) probabilities = Add (s, w0)", [np.float32([0.5, 0, -0.5])], {}, "", "no probabilities"),
        ("z = Sub (m, m) probabilities = Div (z, z)", [], {}, "", "NaN or infinite probabilities"),
        ("z = Sub (m, m) probabilities = Div (w0, z)", [np.float32(1)], {}, "", "NaN or infinite probabilities"),
        (
            f"s = Softmax (m) probabilities = Identity (s) {MAPS} z = Sub (m, m) n = Div (z, z) features = MatMul (n, w0)",
            [np.ones((3, 2), np.float32)], WITH_FEATURES, MORE, "NaN or infinite",
        ),
        (
            f"s = Softmax (m) probabilities = Identity (s) {MAPS} features = MatMul (m, w0)",
            [np.ones((3, 4), np.float32)], WITH_FEATURES, MORE.replace("N,2", "N,K"), "requires an output features",
        ),
        (
            "s = Softmax (m) probabilities = Identity (s) features = MatMul (m, w0) class_maps = Identity (m)",
            [np.ones((3, 2), np.float32)], WITH_FEATURES, ", float[N,2] features, float[N,3] class_maps", "requires an output class_maps",
        ),
        (
            "s = Softmax (m) probabilities = Identity (s) class_maps = Identity (f)",
            [], WITH_FEATURES, ", float[N,K,R,L] class_maps", "requires an output features",
        ),
    ],
)  # fmt: skip
def test_what_is_no_probability_is_not_shown(
    tmp_path: Path, body: str, weights: list[np.ndarray], spec: dict[str, Any], outputs: str, reason: str
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model(f"{MEANS} {body}", *weights, spec=spec, outputs=outputs))
    with pytest.raises(ModelError, match=reason), Predictor(path, provider="cpu") as predictor:
        predictor([IMAGE])


def test_an_error_of_onnx_runtime_while_it_runs_is_a_sentence(tmp_path: Path) -> None:
    """A model for batches of one fails with two; the words of the model itself are escaped."""
    body = "k = Constant <value_ints = [1, 3]> () r = Reshape (m, k) probabilities = Softmax (r)"
    path = tmp_path / "m.onnx"
    graph = onnx.load_from_string(model(f"{MEANS} {body}"))
    graph.graph.node[3].name = "\x1b[2Jnode"
    path.write_bytes(graph.SerializeToString())
    with Predictor(path, provider="cpu") as predictor:
        assert len(predictor([IMAGE])) == 1
        with pytest.raises(ModelError, match="fails while it is run by ONNX Runtime") as raised:
            predictor([IMAGE, IMAGE])
    assert "\x1b" not in str(raised.value)
    assert "\\x1b[2Jnode" in str(raised.value)


# What is no file ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders")
@pytest.mark.parametrize("suffix", [".onnx", ".aslz", ""])
def test_a_pipe_in_place_of_a_model_does_not_hang(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    os.mkfifo(path)
    assert_at_once(lambda: find_model(path), "a pipe")
    if suffix != ".aslz":
        assert_at_once(lambda: open_session(path), "a pipe")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="there is no such device")
def test_a_device_in_place_of_a_model_does_not_hang() -> None:
    assert_at_once(lambda: find_model("/dev/zero"), "a device")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in folders")
def test_a_pipe_in_place_of_settings_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model(ANSWER))
    os.mkfifo(tmp_path / "model.onnx.tuned.json")
    opened: list[Any] = []
    assert_at_once(lambda: opened.append(model_loading.open_model(path)), None)
    assert opened


def assert_at_once(call: Any, reason: str | None) -> None:
    """Assert that a call ends within a second, with a ModelError that says `reason`, or without one."""
    errors: list[str | None] = []

    def run() -> None:
        try:
            call()
            errors.append(None)
        except ModelError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(20)
    assert errors, "it hangs"
    assert errors[0] is None if reason is None else reason in (errors[0] or "")
