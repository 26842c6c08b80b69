from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from read_only import read_only

from asl_edge.errors import ProviderError
from asl_edge.runtime import model_loading
from asl_edge.runtime.engine import providers
from asl_edge.runtime.engine.providers import EngineBuildNotice
from asl_edge.runtime.engine.session import OpenRequest
from asl_edge.runtime.engine.tensorrt_cache import cache_folder, prepared_settings, tensorrt_options
from asl_edge.runtime.model_loading import open_model
from asl_edge.spec import ModelSpec

SPEC = ModelSpec(("A", "B"), 96)


def test_engines_lie_beside_the_model_one_folder_for_each_content(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(b"weights")
    options, notice = prepared_settings(model, str(model), SPEC, "1.20")
    folder = Path(options["trt_engine_cache_path"])
    assert folder.parent == tmp_path / "model.onnx.tensorrt"
    assert folder.is_dir()
    assert "takes minutes once" in notice
    assert str(folder) in notice
    (folder / "graph.engine").touch()
    assert prepared_settings(model, b"weights", SPEC, "1.20") == (options, "")
    assert "takes minutes once" in prepared_settings(model, b"other weights", SPEC, "1.20")[1]
    assert "takes minutes once" in prepared_settings(model, str(model), SPEC, "1.21")[1]


def test_engines_of_a_model_that_lies_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with read_only(tmp_path / "ro"):
        one, other = (cache_folder(tmp_path / "ro" / name) for name in ("a.onnx", "b.onnx"))
        assert one.parent == other.parent == tmp_path / "cache" / "asl-edge" / "tensorrt"
        assert one != other
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "ro"))
        options, notice = prepared_settings(tmp_path / "ro" / "a.onnx", b"weights", SPEC, "1.20")
        assert not [name for name in options if "cache" in name]
        assert "cannot keep it" in notice


def test_options(tmp_path: Path) -> None:
    options = tensorrt_options(tmp_path, ModelSpec(("A", "B"), 96))
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == str(tmp_path)
    assert options["trt_profile_max_shapes"] == "image:32x96x96x3"
    assert options["trt_fp16_enable"] == "1"
    assert all(isinstance(value, str) for value in options.values())


def test_the_build_is_announced_before_the_session_is_made(
    colour_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(colour_model.read_bytes())
    happened: list[object] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", EngineBuildNotice)
        monkeypatch.setattr(warnings, "showwarning", lambda message, *_, **__: happened.append(str(message)))
        monkeypatch.setattr(model_loading.providers, "refuse_not_offered", lambda _: None)
        real = model_loading.open_session

        def opened(content: str, request: OpenRequest) -> object:
            happened.append(request.provider_options)
            return real(content, provider="cpu")

        monkeypatch.setattr(model_loading, "open_session", opened)
        open_model(model, provider="TensorRT", provider_options={"trt_fp16_enable": "0", "device_id": "1"})
    notice, options = happened
    assert "TensorRT builds an engine" in str(notice)
    assert isinstance(options, dict)
    assert (options["trt_fp16_enable"], options["device_id"]) == ("0", "1"), "one's own options count"
    assert options["trt_engine_cache_path"].startswith(f"{model}.tensorrt/")


def test_nothing_is_made_where_there_is_no_tensorrt(colour_model: Path, tmp_path: Path) -> None:
    if "tensorrt" in providers.offered():
        pytest.skip("this ONNX Runtime has TensorRT")
    model = tmp_path / "m.onnx"
    model.write_bytes(colour_model.read_bytes())
    with pytest.raises(ProviderError, match="has no tensorrt"):
        open_model(model, provider="tensorrt")
    assert list(tmp_path.iterdir()) == [model]
