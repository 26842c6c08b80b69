"""Which nodes run where, and options for providers."""

from __future__ import annotations

from pathlib import Path

import pytest

from asl_edge.errors import ProviderError
from asl_edge.runtime.diagnostics.node_placement import Placement, in_words, placement
from asl_edge.runtime.diagnostics.smoke_model import model_bytes
from asl_edge.runtime.engine import session as session_module
from asl_edge.runtime.engine.providers import parse_options
from asl_edge.runtime.engine.session import open_session


def test_all_nodes_of_the_model_in_the_box_run_on_the_cpu() -> None:
    found = placement(provider="cpu", threads=1)
    assert set(found.nodes) == {"cpu"}
    assert found.nodes["cpu"] >= 10
    assert found.on_cpu == {}  # it was asked for
    assert in_words(found).endswith(f"(fp16-weights): {found.nodes['cpu']} nodes, {found.nodes['cpu']} on cpu")


def test_what_fell_back_is_named(colour_model: Path) -> None:
    report = Placement("m.aslz (int8)", "int8", "cuda", {"cuda": 9, "cpu": 2}, {"Softmax": 2})
    assert in_words(report) == "m.aslz (int8): 11 nodes, 9 on cuda, 2 on cpu; on the CPU: 2 Softmax"
    assert placement(colour_model, provider="cpu").precision == "fp32"


def test_options_are_pairs() -> None:
    assert parse_options(["device_id=1", " a = b=c "]) == {"device_id": "1", "a": "b=c"}
    for words in (["device_id"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(ProviderError, match="name=value"):
            parse_options(words)


@pytest.mark.parametrize("provider", ["auto", "cpu", "CPU"])
def test_options_need_a_provider_of_their_own(provider: str) -> None:
    with pytest.raises(ProviderError, match="name it with --provider"):
        open_session(model_bytes(), provider=provider, provider_options={"a": "b"})


def test_options_reach_the_provider_over_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """This ONNX Runtime has no OpenVINO; what would be handed to it is what counts here."""
    handed: list[tuple[str, dict[str, str]]] = []
    real = session_module._make

    def make(model: object, options: object, chosen: list[tuple[str, dict[str, str]]]) -> object:
        handed.extend(chosen)
        return real(model, options, chosen[-1:])  # type: ignore[arg-type]

    monkeypatch.setattr(session_module, "_make", make)
    monkeypatch.setattr(session_module.providers, "offered", lambda: ["openvino", "cpu"])
    with pytest.warns(session_module.ProviderWarning):
        open_session(
            model_bytes(),
            provider="openvino",
            threads=2,
            provider_options={"num_of_threads": "1", "device_type": "CPU"},
        )
    assert handed[0] == ("OpenVINOExecutionProvider", {"num_of_threads": "1", "device_type": "CPU"})
