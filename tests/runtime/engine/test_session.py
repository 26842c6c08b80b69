from __future__ import annotations

import os
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asl_edge.errors import ModelError, ProviderError
from asl_edge.runtime import machine
from asl_edge.runtime.diagnostics import smoke_model
from asl_edge.runtime.engine import providers, session
from asl_edge.runtime.engine.providers import PROVIDERS, ProviderWarning
from asl_edge.runtime.engine.session import open_session
from asl_edge.runtime.model_loading import opening_for


@pytest.fixture
def gpu_build_without_gpu(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """ONNX Runtime as built for CUDA on a machine without a GPU: it lists CUDA and leaves it out of the session."""
    import onnxruntime

    asked: list[Any] = []

    def make(model: Any, options: Any, providers: list[str], **settings: Any) -> Any:
        asked.append(providers)
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    build = types.SimpleNamespace(
        SessionOptions=onnxruntime.SessionOptions,
        GraphOptimizationLevel=onnxruntime.GraphOptimizationLevel,
        InferenceSession=make,
        set_default_logger_severity=onnxruntime.set_default_logger_severity,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    monkeypatch.setattr(providers, "onnxruntime", lambda: build)
    return asked


def test_auto_uses_the_cpu_where_there_is_nothing_else_and_says_nothing() -> None:
    opened = open_session(smoke_model.model_bytes())

    assert opened.requested == "auto"
    assert opened.used[-1] == "cpu"


@pytest.mark.parametrize("provider", ["auto", "cuda"])
def test_a_provider_that_is_left_out_is_a_warning(gpu_build_without_gpu: list[Any], provider: str) -> None:
    with pytest.warns(ProviderWarning, match=r"cuda does not work here .*Running on cpu instead") as said:
        opened = open_session(smoke_model.model_bytes(), provider=provider)

    assert opened.used == ("cpu",)
    assert gpu_build_without_gpu == [["CUDAExecutionProvider", "CPUExecutionProvider"], ["CPUExecutionProvider"]]
    assert Path(said[0].filename).name == Path(__file__).name, "the warning names the line that asked"


@pytest.mark.usefixtures("gpu_build_without_gpu")
@pytest.mark.parametrize("provider", ["auto", "cuda"])
def test_strict_makes_it_an_error(provider: str) -> None:
    with pytest.raises(ProviderError, match="cuda does not work here"):
        open_session(smoke_model.model_bytes(), provider=provider, strict=True)


@pytest.mark.usefixtures("gpu_build_without_gpu")
def test_the_clash_of_two_runtimes_is_the_remedy_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from asl_edge.runtime.engine import installed_packages

    monkeypatch.setattr(installed_packages, "installed_names", lambda: {"onnxruntime", "onnxruntime-gpu"})
    with pytest.warns(ProviderWarning, match=r"pip uninstall -y onnxruntime onnxruntime-gpu"):
        open_session(smoke_model.model_bytes(), provider="cuda")


@pytest.mark.usefixtures("gpu_build_without_gpu")
def test_the_cpu_asked_for_by_name_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_session(smoke_model.model_bytes(), provider="cpu", strict=True).used == ("cpu",)


def test_a_provider_of_another_build_is_refused() -> None:
    with pytest.raises(ProviderError, match="has no rocm"):
        open_session(smoke_model.model_bytes(), provider="rocm")


def test_a_model_that_cannot_be_loaded() -> None:
    with pytest.raises(ModelError, match=r"The model cannot be loaded by ONNX Runtime"):
        open_session(b"not a model")


def test_a_model_file_of_a_newer_onnx(tmp_path: Path) -> None:
    import onnx

    model = onnx.load_from_string(smoke_model.model_bytes())
    model.ir_version = 999
    path = tmp_path / "new.onnx"
    path.write_bytes(model.SerializeToString())

    with pytest.raises(ModelError, match=r"new.onnx: the model cannot be loaded.*IR version.*upgrade ONNX Runtime"):
        open_session(path)


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_below_one(threads: int) -> None:
    with pytest.raises(ProviderError, match="threads must be 1 or more"):
        open_session(smoke_model.model_bytes(), threads=threads)


def test_threads_follow_the_cores_that_are_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert session.session_options(3).intra_op_num_threads == 3
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(machine, "fast_cores", lambda: 8)
    assert session.session_options(None).intra_op_num_threads == 0, "ONNX Runtime's own choice"
    assert providers.options_for(PROVIDERS["openvino"], None) == {}
    monkeypatch.setattr(machine, "fast_cores", lambda: 2)
    assert providers.options_for(PROVIDERS["openvino"], None) == {"num_of_threads": "2"}
    assert session.session_options(None).intra_op_num_threads == 2


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "fast_cores", lambda: 8)
    model = smoke_model.model_bytes()

    shared = open_session(model, provider="cpu", workers=3)
    assert (shared.workers, shared.threads) == (3, 2)
    named = open_session(model, provider="cpu", workers=3, threads=5)
    assert (named.workers, named.threads) == (3, 5)
    assert open_session(model, provider="cpu", workers=99).threads == 1
    with pytest.raises(ProviderError, match="workers must be 1 or more"):
        open_session(model, workers=0)


@pytest.mark.parametrize("opening", ["mapped", "short", "once"])
def test_a_session_answers_the_same_however_it_is_opened(opening: session.Opening) -> None:
    usual, brief = (
        open_session(smoke_model.model_bytes(), provider="cpu", opening=way).session.run(None, smoke_model.feed())
        for way in ("lasting", opening)  # type: ignore[arg-type]
    )

    np.testing.assert_allclose(usual[0], brief[0], atol=1e-6)


@pytest.mark.parametrize(
    ("precision", "openings"),
    [
        ("fp32", {1: "short", 28: "short", 29: "mapped", 100: "mapped", 101: "lasting"}),
        ("fp16-weights", {1: "once", 11: "once", 12: "lasting"}),
        ("int8", {1: "short", 3: "short", 4: "mapped", 100: "mapped", 101: "lasting"}),
        ("fp16", {1: "short", 16: "short", 17: "lasting"}),
    ],
)
def test_few_images_are_not_worth_a_long_opening(precision: str, openings: dict[int, str]) -> None:
    assert opening_for(precision, None) == "lasting"
    assert {expected: opening_for(precision, expected) for expected in openings} == openings


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Failed to load libcublas.so.13.\nand more", "Failed to load libcublas.so.13"),
        (
            "/onnxruntime_src/python/state.cc:729 void f(S&, const O&) Please install TensorRT",
            "Please install TensorRT",
        ),
        ("[ONNXRuntimeError] : 1 : FAIL : /src/a.cc:12 bool f(int) Broken.", "Broken"),
        ("", ""),
    ],
)
def test_what_onnx_runtime_says_is_shortened(said: str, shown: str) -> None:
    assert session._first_line(said) == shown
