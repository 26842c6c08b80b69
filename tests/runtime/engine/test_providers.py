from __future__ import annotations

import contextlib
import sys
import types

import pytest

from asl_edge.errors import MissingPackageError, ProviderError
from asl_edge.runtime.engine import providers, session


def test_names_are_understood_in_any_case_and_as_onnx_runtime_writes_them() -> None:
    assert providers.get("CUDA").ort_name == "CUDAExecutionProvider"
    assert providers.get("DmlExecutionProvider").name == "directml"
    assert providers.our_name("CoreMLExecutionProvider") == "coreml"
    assert providers.our_name("NewExecutionProvider") == "NewExecutionProvider"


def test_all_names_are_onnx_runtimes_own() -> None:
    import onnxruntime

    # Left ONNX Runtime in 1.23; older ones, as on a device, still have it.
    known = {*onnxruntime.get_all_providers(), "ROCMExecutionProvider"}
    assert {provider.ort_name for provider in providers.PROVIDERS.values()} <= known


def test_an_unknown_provider_is_named_with_those_there_are() -> None:
    with pytest.raises(ProviderError, match=r"Unknown provider 'tpu'.*auto, cpu, cuda"):
        providers.get("tpu")


def test_a_provider_that_is_not_in_this_build_is_refused_with_what_brings_it() -> None:
    assert "cpu" in providers.offered()
    with pytest.raises(ProviderError, match=r"has no rocm; it has .*cpu.* Get it with AMD's onnxruntime-rocm"):
        providers.refuse_not_offered(providers.get("rocm"))


def test_auto_ends_on_the_cpu() -> None:
    assert providers.AUTO_ORDER[-1] == "cpu"
    assert set(providers.AUTO_ORDER) <= set(providers.PROVIDERS)


@pytest.mark.parametrize(
    ("name", "threads", "expected"),
    [
        ("cpu", 2, {}),
        ("cuda", 2, {}),
        ("openvino", 2, {"num_of_threads": "2"}),
        ("openvino", None, {}),
        ("xnnpack", 3, {"intra_op_num_threads": "3"}),
    ],
)
def test_options(name: str, threads: int | None, expected: dict[str, str]) -> None:
    assert providers.options_for(providers.get(name), threads) == expected


@pytest.mark.parametrize(
    ("precision", "version", "native", "expected"),
    [
        ("int8", "1.24.1", True, {"load_config": '{"CPU": {"INFERENCE_PRECISION_HINT": "bf16"}}'}),
        ("int8", "1.24.1", False, {}),
        ("int8", "1.22.0", True, {}),
        ("fp32", "1.24.1", True, {}),
        (None, "1.24.1", True, {}),
    ],
)
def test_openvino_computes_what_int8_leaves_as_its_own_api_does(
    monkeypatch: pytest.MonkeyPatch, precision: str | None, version: str, native: bool, expected: dict[str, str]
) -> None:
    runtime = types.SimpleNamespace(__version__=version, InferenceSession=None)
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime)
    monkeypatch.setattr(providers, "has_bfloat16", lambda: native)

    assert providers.options_for(providers.get("openvino"), None, precision) == expected


def test_ones_own_precision_for_openvino_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, str]] = []
    monkeypatch.setattr(providers, "options_for", lambda *_: {"num_of_threads": "2", "load_config": "ours"})
    monkeypatch.setattr(session, "_make", lambda model, options, chosen: given.append(chosen[0][1]))
    for options in ({}, {"precision": "FP32"}, {"precision": "FP32", "load_config": "mine"}):
        request = session.OpenRequest(threads=2, precision="int8", provider_options=options)
        with contextlib.suppress(AttributeError):  # what was made is no session
            session._try(b"", providers.get("openvino"), request)
    assert given == [
        {"num_of_threads": "2", "load_config": "ours"},
        {"num_of_threads": "2", "precision": "FP32"},
        {"num_of_threads": "2", "precision": "FP32", "load_config": "mine"},
    ]


def test_qnn_is_told_its_backend() -> None:
    assert "QnnHtp" in providers.options_for(providers.get("qnn"), None)["backend_path"]


def test_a_missing_onnx_runtime_gives_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(MissingPackageError, match=r"pip install 'asl-edge\[cpu\]'"):
        providers.onnxruntime()


def test_the_empty_folder_that_an_uninstall_leaves_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", types.ModuleType("onnxruntime"))

    with pytest.raises(MissingPackageError, match=r"incomplete.*asl-edge doctor"):
        providers.onnxruntime()


def test_preloading_keeps_standard_output_clean(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnxruntime

    monkeypatch.setattr(
        onnxruntime, "preload_dlls", lambda: sys.stdout.write("Failed to load libcudnn.so.9\n"), raising=False
    )

    assert providers.preload_libraries(providers.get("cuda")) == "Failed to load libcudnn.so.9"
    assert providers.preload_libraries(providers.get("openvino")) == ""
    assert capsys.readouterr().out == ""
