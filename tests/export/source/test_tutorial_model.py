"""The tutorial's model.json and weights: Keras 3's, and those of the Keras of 2019."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from asl_edge.errors import ModelError
from asl_edge.export.graph.toolchain import load_keras
from asl_edge.export.source.open_source import Described, open_source
from asl_edge.export.source.tutorial_model import load_tutorial_model

ABC = Described(classes=("A", "B", "C"))


def tutorial_model(seed: int = 0) -> Any:
    """A small network written as the tutorial writes its own: float input, softmax as an Activation."""
    keras = load_keras()
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((24, 24, 3)),
            layers.Conv2D(filters=4, kernel_size=(5, 5), strides=(2, 2), padding="valid", name="conv2d_1"),
            layers.Activation("relu", name="activation_1"),
            layers.MaxPooling2D(pool_size=(2, 2), strides=(2, 2), padding="valid", name="max_pooling2d_1"),
            layers.BatchNormalization(name="batch_normalization_1"),
            layers.Flatten(name="flatten_1"),
            layers.Dropout(0.4, name="dropout_1"),
            layers.Dense(3, name="dense_1"),
            layers.Activation("softmax", name="activation_2"),
        ]
    )
    rng = np.random.default_rng(seed)
    model.set_weights([rng.uniform(0.1, 1, weight.shape) * rng.choice([-1, 1]) for weight in model.get_weights()])
    norm = model.get_layer("batch_normalization_1")
    norm.moving_variance.assign(rng.uniform(0.5, 2, norm.moving_variance.shape))
    return model


# What Keras 2.2.4 wrote, by layer, without the keys that every layer has.
KERAS_2_LAYERS: list[tuple[str, dict[str, Any]]] = [
    (
        "Conv2D",
        {
            "name": "conv2d_1",
            "batch_input_shape": [None, 24, 24, 3],
            "dtype": "float32",
            "filters": 4,
            "kernel_size": [5, 5],
            "strides": [2, 2],
            "padding": "valid",
            "data_format": "channels_last",
            "dilation_rate": [1, 1],
            "activation": "linear",
            "use_bias": True,
            "kernel_initializer": {
                "class_name": "VarianceScaling",
                "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None},
            },
            "bias_initializer": {"class_name": "Zeros", "config": {}},
            "kernel_regularizer": None,
            "bias_regularizer": None,
            "activity_regularizer": None,
            "kernel_constraint": None,
            "bias_constraint": None,
        },
    ),
    ("Activation", {"name": "activation_1", "activation": "relu"}),
    (
        "MaxPooling2D",
        {
            "name": "max_pooling2d_1",
            "pool_size": [2, 2],
            "padding": "valid",
            "strides": [2, 2],
            "data_format": "channels_last",
        },
    ),
    (
        "BatchNormalization",
        {
            "name": "batch_normalization_1",
            "axis": -1,
            "momentum": 0.99,
            "epsilon": 0.001,
            "center": True,
            "scale": True,
            "beta_initializer": {"class_name": "Zeros", "config": {}},
            "gamma_initializer": {"class_name": "Ones", "config": {}},
            "moving_mean_initializer": {"class_name": "Zeros", "config": {}},
            "moving_variance_initializer": {"class_name": "Ones", "config": {}},
            "beta_regularizer": None,
            "gamma_regularizer": None,
            "beta_constraint": None,
            "gamma_constraint": None,
        },
    ),
    ("Flatten", {"name": "flatten_1", "data_format": "channels_last"}),
    ("Dropout", {"name": "dropout_1", "rate": 0.4, "noise_shape": None, "seed": None}),
    (
        "Dense",
        {
            "name": "dense_1",
            "units": 3,
            "activation": "linear",
            "use_bias": True,
            "kernel_initializer": {
                "class_name": "VarianceScaling",
                "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None},
            },
            "bias_initializer": {"class_name": "Zeros", "config": {}},
            "kernel_regularizer": None,
            "bias_regularizer": None,
            "activity_regularizer": None,
            "kernel_constraint": None,
            "bias_constraint": None,
        },
    ),
    ("Activation", {"name": "activation_2", "activation": "softmax"}),
]


def write_keras_2(folder: Path, model: Any, *, bare_list: bool = False, checkpoint: bool = False) -> tuple[Path, Path]:
    """Write model.json and weights as Keras 2.2 did: `save_weights`, or `ModelCheckpoint` with the whole model."""
    layers = [{"class_name": name, "config": {"trainable": True, **config}} for name, config in KERAS_2_LAYERS]
    body: Any = layers if bare_list else {"name": "sequential_1", "layers": layers}
    config = {"class_name": "Sequential", "config": body, "keras_version": "2.2.4", "backend": "tensorflow"}
    (folder / "model.json").write_text(json.dumps(config), encoding="utf-8")
    path = folder / ("weights.01-0.05.hdf5" if checkpoint else "model_weights.h5")
    with h5py.File(path, "w") as file:
        root = file.create_group("model_weights") if checkpoint else file
        root.attrs["layer_names"] = [config["name"].encode() for _, config in KERAS_2_LAYERS]
        root.attrs["backend"], root.attrs["keras_version"] = b"tensorflow", b"2.2.4"
        for _, layer in KERAS_2_LAYERS:
            group = root.create_group(layer["name"])
            weights = model.get_layer(layer["name"]).weights
            if layer["name"].startswith("dropout"):
                weights = []  # Keras 3 keeps a seed there, Keras 2 did not
            names = [f"{layer['name']}/{weight.name}:0" for weight in weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, weights, strict=True):
                group.create_dataset(name, data=weight.numpy())
    return folder / "model.json", path


def images() -> Any:
    return np.random.default_rng(3).integers(0, 256, (6, 24, 24, 3), dtype=np.uint8)


def expected(model: Any) -> Any:
    return model.predict(images() / 255.0, verbose=0)


@pytest.mark.parametrize("bare_list", [False, True])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_files_of_the_keras_of_2019(tmp_path: Path, bare_list: bool, checkpoint: bool) -> None:
    model = tutorial_model()
    json_path, weights = write_keras_2(tmp_path, model, bare_list=bare_list, checkpoint=checkpoint)
    source = open_source(json_path, Described(classes=("A", "B", "C"), weights=weights))
    np.testing.assert_allclose(source.model.predict(images(), verbose=0), expected(model), atol=1e-6)
    # As the tutorial reads images: OpenCV's BGR, stretched.
    assert (source.colour, source.fit, source.input_size) == ("BGR", "stretch", 24)
    assert any("assuming BGR and fit stretch" in note for note in source.notes)


def test_files_of_keras_3_with_the_weights_found_beside(tmp_path: Path) -> None:
    model = tutorial_model(1)
    (tmp_path / "model.json").write_text(model.to_json(), encoding="utf-8")
    model.save_weights(tmp_path / "model.weights.h5")
    source = open_source(tmp_path / "model.json", ABC)
    np.testing.assert_allclose(source.model.predict(images(), verbose=0), expected(model), atol=1e-6)


@pytest.mark.parametrize("era", ["2", "3"])
def test_weights_whose_name_belongs_to_the_other_format(tmp_path: Path, era: str) -> None:
    model = tutorial_model(2)
    if era == "2":
        _, weights = write_keras_2(tmp_path, model)
        renamed = weights.rename(tmp_path / "old.weights.h5")
    else:
        (tmp_path / "model.json").write_text(model.to_json(), encoding="utf-8")
        model.save_weights(tmp_path / "model.weights.h5")
        renamed = (tmp_path / "model.weights.h5").rename(tmp_path / "model_weights.h5")
    loaded = load_tutorial_model(tmp_path / "model.json", renamed)
    np.testing.assert_allclose(loaded.predict(images() / 255.0, verbose=0), expected(model), atol=1e-6)


def test_a_runs_own_pair_takes_what_the_run_says(mini_model: Any, make_run: Any, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", mini_model, images=4)
    (run / "model.json").write_text(mini_model.to_json(), encoding="utf-8")
    mini_model.save_weights(run / "model.weights.h5")
    source = open_source(run / "model.json")
    assert (source.colour, source.classes, source.notes) == ("RGB", ("A", "B", "C"), ())


def test_files_that_do_not_belong_together_or_are_damaged(tmp_path: Path, mini_model: Any) -> None:
    model = tutorial_model()
    json_path, weights = write_keras_2(tmp_path, model)
    other = tmp_path / "other.weights.h5"
    mini_model.save_weights(other)
    cut = tmp_path / "cut.h5"
    cut.write_bytes(weights.read_bytes()[:900])
    text = tmp_path / "text.h5"
    text.write_text("no weights", encoding="utf-8")
    cases = {
        other: "do not fit",
        cut: "do not fit|damaged",
        text: "not an HDF5 file",
        tmp_path / "none.h5": "none.h5 does not exist",
    }
    for path, message in cases.items():
        with pytest.raises(ModelError, match=message):
            load_tutorial_model(json_path, path)
    weights.unlink()
    with pytest.raises(ModelError, match="--weights model_weights.h5"):
        load_tutorial_model(json_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[1, 2]", "does not describe"),
        (
            '{"class_name": "Model", "config": {}, "keras_version": "2.2.4"}',
            "of its own class, which is not in the file",
        ),
        (
            '{"class_name": "Sequential", "config": [{"class_name": "Magic", "config": {}}], "keras_version": "2.2.4"}',
            "a layer that Keras 3 does not have .Magic",
        ),
        ('{"class_name": "Sequential", "config": {}, "keras_version": "2.2.4"}', "is not how Keras 2 describes"),
        ('{"module": "keras", "class_name": "Nothing", "config": {}}', "cannot build"),
    ],
)
def test_json_files_of_another_kind(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "model.json").write_text(content, encoding="utf-8")
    shutil.copy(write_keras_2_weights(tmp_path), tmp_path / "w.h5")
    with pytest.raises(ModelError, match=message):
        load_tutorial_model(tmp_path / "model.json", tmp_path / "w.h5")


def write_keras_2_weights(folder: Path) -> Path:
    (folder / "good").mkdir()
    return write_keras_2(folder / "good", tutorial_model())[1]


def test_the_tutorials_24_outputs_for_three_classes_are_refused(tmp_path: Path) -> None:
    json_path, _ = write_keras_2(tmp_path, tutorial_model())
    with pytest.raises(ModelError, match="3 outputs. Received 24 class names"):
        open_source(json_path, Described(classes=tuple("ABCDEFGHIKLMNOPQRSTUVWXY")))
