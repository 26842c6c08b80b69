"""Files of Keras 2, written by TensorFlow 2.12 and 2.15 (see tests/fixtures/keras_2/make.py)."""

from __future__ import annotations

import json
import re
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asl_edge.errors import ModelError
from asl_edge.export.source.open_source import Described, open_source
from asl_edge.training.pretrained.source import open_pretrained
from asl_edge.training.runs.keras_file import load_keras_file
from asl_edge.training.runs.parameter_count import count_parameters

FIXTURES = Path(__file__).parents[2] / "fixtures/keras_2"
VERSIONS = ("2.12", "2.15")
NETWORKS = ("sequential", "functional")


def assert_as_keras_2_computed(path: Path, version: str, network: str, weights: Path | None = None) -> None:
    expected = np.load(FIXTURES / version / "expected.npz")
    source = open_source(path, Described(classes=("A", "B", "C"), weights=weights))
    computed = source.model.predict(expected["images"], verbose=0)
    np.testing.assert_allclose(computed, expected[network], atol=1e-6)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_and_its_weights(version: str, network: str) -> None:
    folder = FIXTURES / version
    assert_as_keras_2_computed(folder / f"{network}.json", version, network, folder / f"{network}_weights.h5")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("written", "found"), [("h5", "model.h5"), ("h5", "weights.12-0.01.hdf5"), ("keras", "model.keras")]
)
def test_a_whole_model(version: str, network: str, written: str, found: str, tmp_path: Path) -> None:
    shutil.copy(FIXTURES / version / f"{network}.{written}", tmp_path / found)
    assert_as_keras_2_computed(tmp_path / found, version, network)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_text_that_was_dumped_as_json_and_has_other_names(version: str, tmp_path: Path) -> None:
    folder = FIXTURES / version
    assert isinstance(json.loads((folder / "dumped.json").read_text()), str)
    assert_as_keras_2_computed(folder / "dumped.json", version, "sequential", folder / "sequential_weights.h5")


@pytest.mark.parametrize("name", ["BatchNormalizationV1", "BatchNormalizationV2"])
def test_layers_as_tensorflow_1_called_them(name: str, tmp_path: Path) -> None:
    folder = FIXTURES / "2.12"
    config = json.loads((folder / "sequential.json").read_text())
    config["keras_version"] = "2.2.4-tf"
    norms = [layer for layer in config["config"]["layers"] if layer["class_name"] == "BatchNormalization"]
    assert [layer["config"]["axis"] for layer in norms] == [[3], [1]]
    for layer in norms:
        layer["class_name"] = name
    (tmp_path / "model.json").write_text(json.dumps(config))
    weights = tmp_path / "model_weights.h5"
    shutil.copy(folder / "sequential_weights.h5", weights)
    assert_as_keras_2_computed(tmp_path / "model.json", "2.12", "sequential", weights)


def test_weights_are_found_by_the_names_of_layers(tmp_path: Path) -> None:
    """`left` and `right` have the same shapes: in another order, Keras's own loading would swap them."""
    folder = FIXTURES / "2.12"
    config = json.loads((folder / "functional.json").read_text())
    layers = config["config"]["layers"]
    places = [index for index, layer in enumerate(layers) if layer["name"] in ("left", "right")]
    layers[places[0]], layers[places[1]] = layers[places[1]], layers[places[0]]
    (tmp_path / "model.json").write_text(json.dumps(config))
    assert_as_keras_2_computed(tmp_path / "model.json", "2.12", "functional", folder / "functional_weights.h5")


def refusal(path: Path, **described: Any) -> str:
    with pytest.raises(ModelError) as raised:
        open_source(path, Described(classes=("A", "B", "C"), **described))
    message = str(raised.value)
    assert len(message) < 1200, "longer than a screen"
    return message


def test_weights_without_a_network_name_the_way(tmp_path: Path) -> None:
    weights = tmp_path / "weights.12-0.01.hdf5"
    shutil.copy(FIXTURES / "2.12/sequential_weights.h5", weights)
    message = refusal(weights)
    assert re.search(r"holds weights without their network.*asl-edge export model.json --weights .*12-0.01", message)
    shutil.copy(FIXTURES / "2.12/sequential.json", tmp_path / "model.json")
    assert_as_keras_2_computed(tmp_path / "model.json", "2.12", "sequential", weights)


def test_weights_of_another_network() -> None:
    folder = FIXTURES / "2.12"
    message = refusal(folder / "functional.json", weights=folder / "sequential_weights.h5")
    assert "another network: of 5 layers with weights, the network has 4" in message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda layer: layer.update(class_name="TFOpLambda"), "a layer that Keras 3 does not have (TFOpLambda)"),
        (lambda layer: layer.update(class_name="Lambda"), "code of its own (Lambda)"),
        (lambda layer: layer.update(registered_name="Mine>Pool"), "a layer that Keras 3 does not have"),
        (lambda layer: layer["config"].update(wobble=3), "MaxPooling2D of Keras 3 has no setting wobble"),
        (lambda layer: layer["config"].update(padding="round"), "Keras 3 cannot build this network of Keras 2"),
    ],
)
def test_what_cannot_be_taken_over_names_the_way_that_is_left(change: Any, reason: str, tmp_path: Path) -> None:
    config = json.loads((FIXTURES / "2.15/sequential.json").read_text())
    change(next(layer for layer in config["config"]["layers"] if layer["class_name"] == "MaxPooling2D"))
    (tmp_path / "model.json").write_text(json.dumps(config))
    message = refusal(tmp_path / "model.json", weights=FIXTURES / "2.15/sequential_weights.h5")
    assert reason in message
    assert "Build it in Keras 3 from its own code" in message


def test_the_way_that_is_left_works(tmp_path: Path) -> None:
    """What `keras_2.REBUILD` advises: the same network from code of Keras 3, with the weights of Keras 2."""
    from asl_edge.export.graph.toolchain import load_keras

    keras = load_keras()
    layers = keras.layers
    rebuilt = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(4, 5, strides=2, activation="relu"),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(8, activation="relu"),
            layers.Dropout(0.4),
            layers.BatchNormalization(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    rebuilt.load_weights(FIXTURES / "2.12/sequential_weights.h5")
    rebuilt.save(tmp_path / "model.keras")
    assert_as_keras_2_computed(tmp_path / "model.keras", "2.12", "sequential")


def test_a_saved_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/saved_model.pb").write_bytes(b"\x08\x01")
    assert "tf_keras" in refusal(tmp_path / "saved")


def test_pointers_of_git_lfs(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    for name in ("model.h5", "model.keras", "model.json"):
        (tmp_path / name).write_bytes(pointer)
        weights = FIXTURES / "2.12/sequential_weights.h5" if name.endswith("json") else None
        assert "git lfs pull" in refusal(tmp_path / name, weights=weights)


@pytest.mark.parametrize("name", ["2.12/sequential.keras", "2.15/sequential.keras", "2.12/functional.h5"])
def test_where_only_export_reads_it_that_is_said(name: str) -> None:
    from asl_edge.evaluation.classifiers.open_classifier import open_classifier

    with pytest.raises(ModelError, match=r"asl-edge export .* --out model.onnx --classes A,B,C"):
        open_classifier(FIXTURES / name, classes=("A", "B", "C"))


def test_a_keras_file_that_holds_nothing_of_keras(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    assert "damaged or not a Keras model" in refusal(tmp_path / "x.keras")


@pytest.mark.parametrize(
    ("version", "member"), [("2.15", "model.weights.h5"), ("2.15", "config.json"), ("3", "something.else")]
)
def test_a_keras_file_that_unpacks_to_far_more_is_refused_before(
    version: str, member: str, mini_run: Path, tmp_path: Path
) -> None:
    original = FIXTURES / "2.15/sequential.keras" if version == "2.15" else mini_run / "best.keras"
    path = tmp_path / "x.keras"
    with (
        zipfile.ZipFile(original) as archive,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bomb,
    ):
        for name in archive.namelist():
            if name != member:
                bomb.writestr(name, archive.read(name))
        bomb.writestr(member, bytes(80 * 2**20))
    readers: list[Callable[[], object]] = [
        lambda: refusal(path),
        lambda: load_keras_file(path),
        lambda: open_pretrained(str(path)),
    ]
    for reader in readers:
        tracemalloc.start()
        try:
            text = str(reader())
        except ModelError as error:
            text = str(error)
        assert "would unpack to" in text
        assert tracemalloc.get_traced_memory()[1] < 20e6
        tracemalloc.stop()
    assert count_parameters(path) is None
