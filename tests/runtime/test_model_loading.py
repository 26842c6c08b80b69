"""Choosing, opening and testing a model: the steps of `open_model`."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from tiny_bundles import write

from asl_edge.errors import ModelError, ProviderError
from asl_edge.runtime import model_loading
from asl_edge.runtime.engine import precision as precision_module
from asl_edge.runtime.engine import providers
from asl_edge.runtime.engine.fingerprint import machine_id, model_id
from asl_edge.runtime.engine.providers import ProviderWarning
from asl_edge.runtime.model_loading import find_model, open_model
from asl_edge.runtime.model_options import ModelOptions
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.pretrained import pretrained_model


@pytest.fixture
def model(tmp_path: Path, colour_model: Path) -> Path:
    return Path(shutil.copy(colour_model, tmp_path / "m.onnx"))


def tuned(model: Path, **chosen: Any) -> None:
    settings = {"provider": "cpu", "threads": 1, "precision": "fp32"} | chosen
    found = {"format": 1, "model": model_id(model), "machine": machine_id(), "chosen": settings}
    Path(f"{model}.tuned.json").write_text(json.dumps(found))


@pytest.mark.parametrize("word", [None, "pretrained", "box"])
def test_the_pretrained_model_has_a_name_and_an_earlier_one(word: str | None) -> None:
    assert find_model(word).name == str(pretrained_model())


def test_find_model_reads_the_spec_of_a_file_or_of_a_precision(model: Path, tmp_path: Path) -> None:
    source = find_model(model)
    assert (source.name, source.content, source.spec.classes) == (str(model), str(model), ("A", "B", "C"))
    bundle = write(tmp_path / "b.aslz")
    for precision in ("fp32", "int8"):
        source = find_model(bundle, ModelOptions(precision=precision))
        assert (source.name, source.spec.precision) == (f"{bundle} ({precision})", precision)
        assert isinstance(source.content, bytes)


def test_options_and_their_fields_by_name_mean_the_same(model: Path) -> None:
    options = ModelOptions(provider="cpu", threads=1, workers=2)
    for opened in (
        open_model(model, options)[1],
        open_model(model, provider="cpu", threads=1, workers=2)[1],
        open_model(model, ModelOptions(provider="rocm", threads=1, workers=2), provider="cpu")[1],
    ):
        assert (opened.requested, opened.threads, opened.workers) == ("cpu", 1, 2)
    assert options == ModelOptions(provider="cpu", threads=1, workers=2), "options are never changed"
    with pytest.raises(TypeError, match="framing"):
        open_model(model, framing=False)  # type: ignore[call-arg]
    with Predictor(model, options, threads=2) as predictor:
        assert (predictor.provider_requested, predictor.workers) == ("cpu", 2)


@pytest.mark.parametrize("word", ["CPU", " cpu ", "CPUExecutionProvider"])
def test_a_provider_is_named_in_any_case(model: Path, word: str) -> None:
    assert open_model(model, provider=word)[1].requested == "cpu"


@pytest.mark.parametrize("word", ["auto", "AUTO", " Auto "])
def test_auto_is_named_in_any_case(model: Path, word: str) -> None:
    tuned(model)
    opened = open_model(model, provider=word)[1]
    assert (opened.requested, opened.threads) == ("cpu", 1), "tuned settings stand for `auto`"


def test_an_unknown_provider_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="Unknown provider 'gpu'"):
        open_model(write(tmp_path / "b.aslz"), provider="gpu")


class TestTunedSettings:
    def test_they_count_where_nothing_is_named(self, model: Path) -> None:
        tuned(model)
        assert open_model(model)[1].threads == 1

    @pytest.mark.parametrize("named", [{"provider": "cpu"}, {"threads": 2}])
    def test_what_is_named_counts_more(self, model: Path, named: dict[str, Any]) -> None:
        tuned(model)
        assert open_model(model, ModelOptions(**named))[1].threads == named.get("threads")

    def test_threads_of_one_run_say_nothing_of_several_workers(self, model: Path) -> None:
        tuned(model, threads=64)
        assert open_model(model, workers=2)[1].threads != 64

    @pytest.mark.parametrize("threads", [0, -1])
    def test_a_number_out_of_range_is_not_replaced_by_them(self, model: Path, threads: int) -> None:
        tuned(model)
        with pytest.raises(ProviderError, match="threads must be 1 or more"):
            open_model(model, threads=threads)

    def test_those_of_another_content_do_not_count(self, model: Path) -> None:
        tuned(model)
        found = json.loads(Path(f"{model}.tuned.json").read_text())
        found["model"]["bytes"] += 1
        Path(f"{model}.tuned.json").write_text(json.dumps(found))
        assert open_model(model)[1].requested == "auto"


def test_another_precision_is_opened_without_a_second_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` on an ONNX Runtime with CUDA but without a GPU: one warning, and the precision for the CPU."""
    monkeypatch.setattr(providers, "offered", lambda: ["cuda", "cpu"])
    monkeypatch.setattr(precision_module, "preference", lambda p: (("int8" if p == "cuda" else "fp32", None),))
    bundle = write(tmp_path / "b.aslz")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        source, opened = open_model(bundle)
    (warning,) = (one for one in caught if issubclass(one.category, ProviderWarning))
    assert warning.filename == __file__
    assert (source.spec.precision, opened.used) == ("fp32", ("cpu",))


def test_the_self_test_is_for_int8_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asl_edge.runtime.bundle import golden_test

    tested: list[str] = []
    monkeypatch.setattr(golden_test, "check", lambda path, precision, opened: tested.append(precision))
    bundle = write(tmp_path / "b.aslz")
    open_model(bundle, provider="cpu", precision="fp32")
    assert tested == []
    open_model(bundle, provider="cpu", precision="int8")
    assert tested == ["int8"]


def test_a_bundle_of_int8_alone_that_fails_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_loading, "_self_test", lambda path, source, opened: "Its examples fail.")
    bundle = write(tmp_path / "b.aslz")
    with pytest.raises(ModelError, match=rf"Its examples fail\. It is not used\. Details: asl-edge verify {bundle}"):
        open_model(bundle, provider="cpu", precision="int8")
