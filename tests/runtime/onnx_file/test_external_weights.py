"""A session that finds its weights in the model's own file answers as any other does."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asl_edge.errors import ModelError
from asl_edge.export.graph.weight_alignment import aligned
from asl_edge.runtime.diagnostics import smoke_model
from asl_edge.runtime.engine import session as sessions
from asl_edge.runtime.engine.session import open_session
from asl_edge.runtime.onnx_file.external_weights import MappedModel, map_model
from asl_edge.runtime.pretrained import resolve

BOX = Path(resolve(None))
MANY = np.arange(2000, dtype=np.float32)
IMAGE = {"image": np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)}


def mapped(path: Path) -> MappedModel:
    """Return what a file that can be mapped is mapped to."""
    found = map_model(path)
    assert found is not None
    return found


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The model in the box in a folder of its own."""
    return Path(shutil.copy(BOX, tmp_path / "box.onnx"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What sessions are made of from now on: `file`, or the `graph` alone."""
    found, make = [], sessions._make

    def remember(model: Any, *arguments: Any) -> Any:
        found.append("graph" if len(model) < 200_000 else "file")
        return make(model, *arguments)

    monkeypatch.setattr(sessions, "_make", remember)
    return found


def test_the_graph_alone_is_small_and_names_every_large_weight() -> None:
    mapped = map_model(BOX)

    assert mapped is not None
    assert len(mapped.graph) < 200_000
    content, whole = BOX.read_bytes(), onnx.load(BOX)
    for outside, inside in zip(
        onnx.load_from_string(mapped.graph).graph.initializer, whole.graph.initializer, strict=True
    ):
        if len(inside.raw_data) < 1024:
            assert outside == inside
            continue
        entries = {entry.key: entry.value for entry in outside.external_data}
        begin, length = int(entries["offset"]), int(entries["length"])
        assert (entries["location"], begin % 64) == (BOX.name, 0)
        assert content[begin : begin + length] == inside.raw_data
        assert (outside.name, outside.dims, outside.data_type) == (inside.name, inside.dims, inside.data_type)


@pytest.mark.parametrize("opening", ["mapped", "short", "once"])
def test_it_answers_as_the_whole_model_does(made: list[str], opening: sessions.Opening) -> None:
    whole = open_session(BOX, provider="cpu").session.run(None, IMAGE)
    mapped = open_session(BOX, provider="cpu", opening=opening).session.run(None, IMAGE)

    assert made == ["file", "graph"]
    for one, other in zip(whole, mapped, strict=True):
        assert one == pytest.approx(other, abs=2e-4)


def test_a_session_that_lasts_does_not_need_its_file(copied: Path) -> None:
    lasting = open_session(copied, provider="cpu").session
    expected = lasting.run(None, IMAGE)[0]
    copied.write_bytes(b"other bytes")

    assert (lasting.run(None, IMAGE)[0] == expected).all()


@pytest.mark.parametrize("name", ["a model of hands.onnx", "Übung ✋.onnx", "..onnx"])
def test_any_name_will_do(copied: Path, made: list[str], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    renamed = copied.rename(copied.parent / name)
    monkeypatch.chdir(copied.parent)

    for path in (renamed, Path(name)):
        open_session(path, provider="cpu", opening="once").session.run(None, IMAGE)
    assert made == ["graph", "graph"]


def test_a_link_leads_to_the_weights(copied: Path, tmp_path: Path, made: list[str]) -> None:
    link = tmp_path / "elsewhere" / "model.onnx"
    link.parent.mkdir()
    link.symlink_to(copied)

    open_session(link, provider="cpu", opening="once").session.run(None, IMAGE)
    assert made == ["graph"]


def test_weights_at_odd_places_are_read_as_ever(copied: Path, made: list[str]) -> None:
    model = onnx.load(copied)
    model.producer_name += "x"
    copied.write_bytes(model.SerializeToString())

    assert map_model(copied) is None
    open_session(copied, provider="cpu", opening="once").session.run(None, IMAGE)
    assert made == ["file"]


@pytest.mark.parametrize("version", ["1.17.3", "1.20.1"])
def test_a_runtime_that_would_look_elsewhere_reads_the_whole_model(
    monkeypatch: pytest.MonkeyPatch, made: list[str], version: str
) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", version)

    open_session(BOX, provider="cpu", opening="once").session.run(None, IMAGE)
    assert made == ["file"]


def test_where_the_weights_are_not_found_the_whole_model_is_read(
    monkeypatch: pytest.MonkeyPatch, made: list[str]
) -> None:
    monkeypatch.setattr(sessions, "map_model", lambda path: mapped(path)._replace(path=Path("/nowhere/box.onnx")))

    open_session(BOX, provider="cpu", opening="once").session.run(None, IMAGE)
    assert made == ["graph", "file"]


def test_a_file_that_is_replaced_while_it_is_opened_is_read_again(
    copied: Path, monkeypatch: pytest.MonkeyPatch, made: list[str]
) -> None:
    def replaced(path: Path) -> MappedModel:
        found = mapped(path)
        other = path.with_suffix(".new")
        shutil.copy(BOX, other)
        other.replace(path)
        return found

    monkeypatch.setattr(sessions, "map_model", replaced)
    open_session(copied, provider="cpu", opening="once").session.run(None, IMAGE)
    assert made == ["graph", "file"]


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text are Linux's")
def test_a_folder_whose_name_is_no_text(
    tmp_path: Path, copied: Path, monkeypatch: pytest.MonkeyPatch, made: list[str]
) -> None:
    folder = tmp_path / os.fsdecode(b"h\xe4nde")
    folder.mkdir()
    copied.rename(folder / "box.onnx")
    monkeypatch.chdir(folder)

    open_session("box.onnx", provider="cpu", opening="once").session.run(None, IMAGE)
    assert made == ["file"]


def test_a_link_in_circles_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "loop.onnx").symlink_to(tmp_path / "loop.onnx")
    with pytest.raises(ModelError):
        open_session(tmp_path / "loop.onnx", provider="cpu", opening="once")


def test_small_models_have_nothing_to_leave(colour_model: Path) -> None:
    assert map_model(colour_model) is None


@pytest.fixture(scope="module")
def small() -> bytes:
    """An aligned model of 10 kB whose weights can stay in it."""
    model = onnx.load_from_string(smoke_model.model_bytes())
    model.graph.initializer.append(onnx.numpy_helper.from_array(MANY, "more"))
    return aligned(model.SerializeToString())


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_makes_it_fail(tmp_path: Path, small: bytes, data: st.DataObject) -> None:
    content, weights = bytearray(small), small.index(MANY.tobytes())
    places = st.integers(0, weights - 1) | st.integers(weights + MANY.nbytes, len(content) - 1)
    for place in data.draw(st.lists(places, max_size=5)):
        content[place] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(content)

    found = map_model(damaged)

    if bytes(content) == small:
        assert found is not None
    if found is not None:
        assert len(found.graph) < len(content)
