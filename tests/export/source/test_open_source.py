"""What is exported: run folders, `.keras` files, networks that take floats, mixed precision."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asl_edge.errors import ModelError, RunError
from asl_edge.export.graph.toolchain import load_keras
from asl_edge.export.source.open_source import Described, open_source


def samples(run: Path, count: int = 20) -> Any:
    return np.load(run / "samples/test_images.npy")[:count]


def test_a_run_folder(mini_run: Path, mini_model: Any) -> None:
    source = open_source(mini_run)
    assert (source.classes, source.input_size, source.fit, source.colour) == (("A", "B", "C"), 32, "crop", "RGB")
    assert (source.network, source.notes) == ("mini", ())
    assert source.trained_on == {"sources": ["noise"], "split": "blocks", "recipe": "tutorial", "seed": 0}
    images = samples(mini_run)
    np.testing.assert_allclose(source.model.predict(images, verbose=0), mini_model.predict(images, verbose=0))


def test_what_it_was_trained_on_names_no_path(mini_model: Any, make_run: Any, tmp_path: Path) -> None:
    data = {"sources": [{"name": "mine", "path": str(tmp_path), "files": 3}], "split": "blocks"}
    source = open_source(make_run(tmp_path / "run", mini_model, images=2, data=data, arrays=str(tmp_path)))
    assert source.trained_on["sources"] == [{"name": "mine", "files": 3}]
    assert str(tmp_path) not in json.dumps(source.trained_on)


@pytest.mark.parametrize("inside", ["best.keras", "checkpoints/weights.01-0.50.keras"])
def test_a_keras_file_inside_a_run_takes_what_the_run_says(
    mini_model: Any, make_run: Any, tmp_path: Path, inside: str
) -> None:
    run = make_run(tmp_path / "run", mini_model, images=8, fit="pad", classes=["C", "B", "A"])
    (run / "checkpoints").mkdir()
    shutil.copy(run / "best.keras", run / "checkpoints/weights.01-0.50.keras")
    source = open_source(run / inside)
    assert source.run is not None
    assert (source.classes, source.fit) == (("C", "B", "A"), "pad")


def test_a_keras_file_alone_needs_class_names(mini_run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.keras"
    shutil.copy(mini_run / "best.keras", alone)
    with pytest.raises(ModelError, match=r"3 outputs.*--classes A,B,C"):
        open_source(alone)
    with pytest.raises(ModelError, match="3 outputs. Received 2 class names: A,B"):
        open_source(alone, Described(classes=("A", "B")))
    source = open_source(alone, Described(classes=("X", "Y", "Z"), fit="stretch", colour="BGR"))
    assert (source.classes, source.fit, source.colour, source.run) == (("X", "Y", "Z"), "stretch", "BGR", None)
    assert source.notes == ()
    assert "assuming RGB and fit crop" in open_source(alone, Described(classes=("X", "Y", "Z"))).notes[0]


def test_a_config_json_of_another_program_makes_no_run(mini_run: Path, tmp_path: Path) -> None:
    shutil.copy(mini_run / "best.keras", tmp_path / "alone.keras")
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    assert open_source(tmp_path / "alone.keras", Described(classes=("A", "B", "C"))).run is None


@pytest.mark.parametrize(
    "described", [Described(classes=("A", "C", "B")), Described(fit="pad"), Described(colour="BGR")]
)
def test_what_contradicts_the_run_is_refused(mini_run: Path, described: Described) -> None:
    with pytest.raises(RunError, match="Leave --"):
        open_source(mini_run, described)


def test_mixed_precision_is_exported_as_float32(make_mini_model: Any, make_run: Any, tmp_path: Path) -> None:
    mixed = make_mini_model(dtype="mixed_bfloat16")
    source = open_source(make_run(tmp_path / "run", mixed, images=20))
    assert {layer.dtype_policy.compute_dtype for layer in source.model.layers} <= {"float32"}
    images = samples(tmp_path / "run")
    plain = make_mini_model()
    plain.set_weights(mixed.get_weights())
    np.testing.assert_allclose(source.model.predict(images, verbose=0), plain.predict(images, verbose=0), atol=1e-6)


def float_model(rescales: bool = False) -> Any:
    keras = load_keras()
    layers = keras.layers
    first = [layers.Rescaling(1 / 255)] if rescales else []
    ending = [layers.Flatten(), layers.Dense(3), layers.Activation("softmax")]
    return keras.Sequential([keras.Input((16, 16, 3)), *first, *ending])


@pytest.mark.parametrize(
    ("rescales", "pixels", "divisor", "said"),
    [
        (False, "auto", 255, "values from 0 to 1"),
        (True, "auto", 1, "rescales them itself"),
        (False, "0-255", 1, None),
        (False, "0-1", 255, None),
    ],
)
def test_networks_with_a_float_input_get_a_uint8_one(
    tmp_path: Path, rescales: bool, pixels: Any, divisor: float, said: str | None
) -> None:
    model = float_model(rescales)
    model.save(tmp_path / "float.keras")
    described = Described(classes=("A", "B", "C"), fit="crop", colour="RGB", pixels=pixels)
    source = open_source(tmp_path / "float.keras", described)
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    assert source.model.inputs[0].dtype == "uint8"
    expected = model.predict(images.astype(np.float32) / divisor, verbose=0)
    np.testing.assert_allclose(source.model.predict(images, verbose=0), expected, atol=1e-6)
    assert (said in source.notes[0]) if said else source.notes == ()


def test_networks_of_another_kind_are_refused(tmp_path: Path) -> None:
    keras = load_keras()
    layers = keras.layers
    networks = {
        "grey": [keras.Input((16, 16, 1)), layers.Flatten(), layers.Dense(2), layers.Softmax()],
        "oblong": [keras.Input((16, 8, 3)), layers.Flatten(), layers.Dense(2), layers.Softmax()],
        "any-size": [keras.Input((None, None, 3)), layers.GlobalMaxPooling2D(), layers.Dense(2), layers.Softmax()],
        "maps": [keras.Input((16, 16, 3)), layers.Conv2D(3, 1), layers.Softmax()],
        "sigmoid": [keras.Input((16, 16, 3)), layers.Flatten(), layers.Dense(2, activation="sigmoid")],
    }
    for name, parts in networks.items():
        path = tmp_path / f"{name}.keras"
        keras.Sequential(parts).save(path)
        with pytest.raises(ModelError, match="softmax" if name == "sigmoid" else "square images"):
            open_source(path, Described(classes=("A", "B")))


def test_a_run_that_contradicts_its_own_model(mini_model: Any, make_run: Any, tmp_path: Path) -> None:
    make_run(tmp_path / "size", mini_model, images=2, input_size=64)
    with pytest.raises(ModelError, match="32x32 images, but its run says 64x64"):
        open_source(tmp_path / "size")
    make_run(tmp_path / "classes", mini_model, images=2, classes=["A", "B"])
    with pytest.raises(ModelError, match="3 outputs. Received 2 class names"):
        open_source(tmp_path / "classes")


def test_paths_that_hold_no_model(mini_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        open_source(tmp_path / "missing")
    with pytest.raises(RunError, match="not a run folder"):
        open_source(tmp_path)
    (tmp_path / "image.jpg").write_bytes(b"image")
    with pytest.raises(ModelError, match="not a model that can be exported"):
        open_source(tmp_path / "image.jpg")
    with pytest.raises(ModelError, match="--weights goes with a model.json only"):
        open_source(mini_run, Described(weights=tmp_path / "w.h5"))


@pytest.mark.parametrize("damage", ["cut", "garbage", "empty"])
def test_a_damaged_keras_file(mini_run: Path, tmp_path: Path, damage: str) -> None:
    data = (mini_run / "best.keras").read_bytes()
    broken = {"cut": data[: len(data) // 2], "garbage": b"garbage" * 99, "empty": b""}[damage]
    (tmp_path / "best.keras").write_bytes(broken)
    with pytest.raises(ModelError, match=r"best\.keras is damaged"):
        open_source(tmp_path / "best.keras", Described(classes=("A", "B", "C")))


def test_a_run_without_a_finished_epoch(mini_run: Path, tmp_path: Path) -> None:
    config = json.loads((mini_run / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(RunError, match="no finished epoch"):
        open_source(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("name", ["m.keras", "m.onnx", "m.json", "m.h5", "m"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ModelError, match="not a file but a pipe"):
        open_source(tmp_path / name)
