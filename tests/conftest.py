"""Fixtures that several tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest
from device_environments import Environment, environments

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# Begun in the background by a shell, a process ignores SIGINT and so would every process that a test interrupts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


LONGEST = ("test_backends.py", "test_readme.py", "test_fit.py", "test_kills.py", "test_walk.py", "test_pretrained.py")
"""Files of tests that take minutes. Each goes to one worker, so they begin first and the short ones fill the rest."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the order within a file, and of the others, stays."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images; a user has no such data, so tests that need it skip there."""
    folder = os.environ.get("ASL_EDGE_DATA")
    if not folder:
        pytest.skip("ASL_EDGE_DATA is not set: the real images are not part of the repository")
    path = Path(folder)
    assert path.is_dir(), f"ASL_EDGE_DATA={folder} is not a folder"
    return path


@pytest.fixture(scope="session")
def device_environments(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[Environment | str]]]:
    """Environments `oldest` and `newest` with the device tier alone; a text where one cannot be made says why."""
    with environments(tmp_path_factory) as made:
        yield made


@pytest.fixture(scope="session")
def colour_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real ONNX model of 2 kB with a spec: A for a red, B for a green, C for a blue image; input 32x32."""
    path = tmp_path_factory.mktemp("colour_model") / "colour.onnx"
    write_colour_model(path)
    return path


@pytest.fixture(scope="session")
def make_colour_model() -> Callable[..., None]:
    """`write_colour_model`, for models whose spec or sharpness differ."""
    return write_colour_model


def write_colour_model(path: Path, spec: dict[str, object] | None = None, scale: float = 10.0) -> None:
    """Write the model of `colour_model`: mean of each channel / 255 * scale -> softmax.

    Args:
        path: where to.
        spec: fields of the ModelSpec that differ.
        scale: how sharp its answers are.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from asl_edge.spec import ModelSpec

    fields: dict[str, object] = {"classes": ("A", "B", "C"), "input_size": 32, "network": "colour"} | (spec or {})
    size = fields["input_size"]
    weights = np.eye(3, dtype=np.float32) * scale / 255
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats"], ["means"], axes=[1, 2], keepdims=0),
            helper.make_node("Gemm", ["means", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        ],
        "colour",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", size, size, 3])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, ModelSpec(**fields).to_metadata())  # type: ignore[arg-type]
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def mini_model() -> object:
    """A small CNN as the registry's networks are: uint8 (N, 32, 32, 3) to 3 classes; its answers vary by colour."""
    return build_mini_model()


@pytest.fixture(scope="session")
def make_mini_model() -> Callable[..., object]:
    """`build_mini_model`, for other classes, seeds, last layers or dtype policies."""
    return build_mini_model


def build_mini_model(
    classes: int = 3,
    *,
    seed: int = 0,
    size: int = 32,
    last: str = "activation",
    dtype: str = "float32",
    sharp: float = 1,
) -> object:
    """Build an untrained CNN with random weights and batch statistics.

    Args:
        classes: number of outputs.
        seed: of the weights.
        size: side of its input.
        last: how the softmax is made: `activation`, `softmax` layer or `dense`.
        dtype: dtype policy of the hidden layers.
        sharp: factor of the logits.
    """
    import numpy as np

    from asl_edge.export.graph.toolchain import load_keras

    keras = load_keras()
    layers, rng = keras.layers, np.random.default_rng(seed)
    endings = {
        "activation": [
            layers.Dense(classes, name="logits"),
            layers.Activation("softmax", dtype="float32", name="probs"),
        ],
        "softmax": [layers.Dense(classes, name="logits"), layers.Softmax(dtype="float32", name="probs")],
        "dense": [layers.Dense(classes, activation="softmax", dtype="float32", name="logits")],
    }
    model = keras.Sequential(
        [
            keras.Input((size, size, 3), dtype="uint8", name="image"),
            layers.Rescaling(1 / 255, name="rescale"),
            layers.Conv2D(8, 5, strides=2, dtype=dtype, name="conv1"),
            layers.Activation("relu", dtype=dtype, name="relu1"),
            layers.MaxPooling2D(2, dtype=dtype, name="pool1"),
            layers.BatchNormalization(dtype=dtype, name="norm1"),
            layers.Flatten(dtype=dtype, name="flatten"),
            layers.Dense(64, dtype=dtype, name="dense2"),
            layers.Activation("relu", dtype=dtype, name="relu2"),
            layers.Dropout(0.5, dtype=dtype, name="dropout2"),
            layers.BatchNormalization(dtype=dtype, name="norm2"),
            *endings[last],
        ],
        name="mini",
    )
    for variable in model.variables:
        if "moving_variance" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif len(variable.shape) == 1 and variable.dtype == "float32":
            variable.assign(rng.normal(0, 0.3, variable.shape) + (1.0 if "gamma" in variable.path else 0.0))
        elif len(variable.shape) > 1:
            scale = (sharp if "logits" in variable.path else 1.0) * 2 / np.sqrt(np.prod(variable.shape[:-1]))
            variable.assign(rng.normal(0, scale, variable.shape))
    # Centre the logits, so that every class is answered for some colour.
    flat_colours = np.broadcast_to(rng.integers(0, 256, (64, 1, 1, 3), dtype=np.uint8), (64, size, size, 3))
    mean = np.log(np.maximum(model.predict(flat_colours, verbose=0), 1e-30)).mean(axis=0)
    bias = model.get_layer("logits").bias
    bias.assign(bias.numpy() - mean)
    return model


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """`write_run`."""
    return write_run


@pytest.fixture(scope="session")
def mini_run(mini_model: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of `mini_model` with 300 test images; do not change it."""
    return write_run(tmp_path_factory.mktemp("runs") / "mini", mini_model)


def write_run(path: Path, model: object, *, images: int = 300, **config: object) -> Path:
    """Write what a run folder needs to be exported: best.keras, config.json and a test sample.

    The images are coloured noise, a tenth of their labels differ from what the model answers.
    """
    import json

    import numpy as np

    size, classes = model.input_shape[1], model.output_shape[-1]  # type: ignore[attr-defined]
    (path / "samples").mkdir(parents=True)
    rng = np.random.default_rng(1)
    colours = rng.uniform(0, 255, (images, 1, 1, 3))
    noise = rng.normal(0, 30, (images, size, size, 3))
    samples = np.clip(colours + noise, 0, 255).astype(np.uint8)
    labels = model.predict(samples, verbose=0).argmax(axis=1)  # type: ignore[attr-defined]
    labels[::10] = (labels[::10] + 1) % classes
    model.save(path / "best.keras")  # type: ignore[attr-defined]
    np.save(path / "samples/test_images.npy", samples)
    np.save(path / "samples/test_classes.npy", np.eye(classes, dtype=np.float32)[labels])
    names = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:classes])
    defaults = {
        "asl_edge_version": "0.1.0",
        "network": "mini",
        "recipe": "tutorial",
        "classes": names,
        "input_size": size,
        "fit": "crop",
        "colour": "RGB",
        "seed": 0,
        "data": {"sources": ["noise"], "split": "blocks"},
    }
    (path / "config.json").write_text(json.dumps(defaults | config), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def alexnet() -> object:
    """The tutorial's AlexNet with 3 classes, random weights and batch statistics."""
    import numpy as np

    from asl_edge.export.graph.toolchain import load_keras

    load_keras()
    from asl_edge.training import networks

    model, rng = networks.build("alexnet", 3, 224), np.random.default_rng(0)
    for variable in model.variables:
        if "moving_variance" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif "moving_mean" in variable.path or "bias" in variable.path:
            variable.assign(rng.normal(0, 0.2, variable.shape))
    return model


@pytest.fixture(scope="session")
def tiny_network() -> str:
    """Name of a small network that the registry holds then."""
    from tiny_network import register

    return register()


@pytest.fixture
def colour_arrays(tmp_path: Path) -> Path:
    """Prepared arrays without a manifest: 48 + 15 + 15 noisy images of 32x32, A red, B green, C blue."""
    folder = tmp_path / "arrays"
    write_colour_arrays(folder)
    return folder


@pytest.fixture(scope="session")
def shared_colour_arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The arrays of `colour_arrays`, for tests that only read them."""
    folder = tmp_path_factory.mktemp("colour") / "arrays"
    write_colour_arrays(folder)
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Half a second of red."""
    import cv2
    import numpy as np

    path = tmp_path / "hands.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for _ in range(5):
        writer.write(np.full((64, 96, 3), (0, 0, 255), np.uint8))
    writer.release()
    return path


@pytest.fixture(scope="session")
def film_hand() -> Callable[..., Path]:
    """Gives `film(path, label, frames=40, seed=0)`: a video of 96x64 pixels, a drawn hand in its centre square."""
    import cv2
    import numpy as np

    from asl_edge.data.synthetic.drawing import draw_frame
    from asl_edge.data.synthetic.scene import random_scene

    def film(path: Path, label: str, frames: int = 40, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        scene = random_scene(label, rng, 64)
        codec = cv2.VideoWriter_fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
        writer = cv2.VideoWriter(str(path), codec, 10, (96, 64))
        for _ in range(frames):
            frame = np.zeros((64, 96, 3), np.uint8)
            frame[:, 16:80] = draw_frame(scene, rng, 64).image[..., ::-1]
            writer.write(frame)
        writer.release()
        return path

    return film


def write_colour_arrays(folder: Path, seed: int = 0) -> None:
    """Write the arrays of `colour_arrays`."""
    import numpy as np

    folder.mkdir()
    rng = np.random.default_rng(seed)
    for split, count in (("train", 48), ("validation", 15), ("test", 15)):
        labels = np.arange(count) % 3
        images = rng.integers(0, 160, (count, 32, 32, 3), dtype=np.uint8)
        images[np.arange(count), :, :, labels] += 90
        np.save(folder / f"{split}_set.npy", images)
        np.save(folder / f"{split}_classes.npy", np.eye(3, dtype=np.float32)[labels])


@pytest.fixture(scope="session")
def write_images() -> Callable[..., Path]:
    """Gives `write(folder, classes="ABC", per_class=12, name="{label}/{label}{number}.png", seed=0)`.

    It writes noisy images of 40x30 pixels, all different, with a colour for each class, and returns `folder`.
    """
    import numpy as np

    from asl_edge.imaging.preprocess import opencv

    cv2 = opencv()

    def write(
        folder: Path,
        classes: Sequence[str] = "ABC",
        per_class: int = 12,
        name: str = "{label}/{label}{number}.png",
        seed: int = 0,
    ) -> Path:
        rng = np.random.default_rng(seed)
        for label in classes:
            tint = np.frombuffer(label.encode().ljust(3, b"x")[:3], np.uint8) // 3
            for number in range(1, per_class + 1):
                coarse = rng.integers(0, 170, (6, 8, 3), dtype=np.uint8) + tint
                path = folder / name.format(label=label, number=number)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(cv2.imencode(path.suffix, cv2.resize(coarse, (40, 30)))[1].tobytes())
        return folder

    return write
