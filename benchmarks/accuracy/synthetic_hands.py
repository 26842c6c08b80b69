"""The built-in synthetic hands: how fast they are drawn, and how well they transfer to photographs.

    python -m benchmarks.accuracy.synthetic_hands --data FOLDER_OF_REAL_IMAGES [--only speed|transfer|synthetic|sheet]

Speed: images per second on one core, drawn alone, and drawn and written as JPEG. Transfer: a small network trained on
synthetic hands only classifies photographs (`studio`, `phone`), and one trained on photographs only (`kaggle`, `phone`,
`studio`) classifies synthetic hands; 24 static letters, so chance is 4.2%. Writes
results/accuracy/synthetic-hands.{json,md} and the contact sheet docs/images/synthetic-hands.png.
"""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from asl_edge import __version__
from asl_edge.data.synthetic import draw_hand, synthesize
from asl_edge.data.synthetic.drawing import draw_frame
from asl_edge.data.synthetic.scene import random_scene
from asl_edge.files import atomic
from asl_edge.imaging.preprocess import load, opencv
from asl_edge.labels import CLASSES, STATIC_LETTERS
from asl_edge.metrics import wilson_interval
from asl_edge.spec import Fit
from benchmarks.harness.report import REPOSITORY, argument_parser, markdown_table, page, write_result

SIDE = 96
FOLDERS = {"kaggle": "kaggle/asl_alphabet_train", "phone": "phone", "studio": "studio"}
FITS: dict[str, Fit] = {"kaggle": "crop", "phone": "crop", "studio": "pad"}  # studio: cut out on black, any shape
TRAIN_SEED, TEST_SEED = 1, 2


def measure_speed(rounds: int, size: int = 224) -> dict[str, Any]:
    """Return images per second of one core, the median of several rounds over all 29 classes."""
    opencv().setNumThreads(1)
    alone, written = [], []
    draw_hand("A", np.random.default_rng(0), size)
    for number in range(rounds):
        rng = np.random.default_rng(number)
        started = time.perf_counter()
        for label in CLASSES * 4:
            draw_hand(label, rng, size)
        alone.append(4 * len(CLASSES) / (time.perf_counter() - started))
        with tempfile.TemporaryDirectory() as folder:
            report = synthesize(Path(folder, "out"), per_class=10, seed=number, size=size, workers=1)
        written.append(report.images_per_second)
    return {
        "size": size,
        "rounds": rounds,
        "draw_hand_images_per_second": {"median": statistics.median(alone), "samples": alone},
        "synthesize_images_per_second": {"median": statistics.median(written), "samples": written},
    }


def read_synthetic(per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw images with `synthesize` and load them as a user's images would be loaded."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        synthesize(out, per_class=per_class, classes=STATIC_LETTERS, seed=seed)
        return read_folder(out, "crop")


def read_folder(folder: Path, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images (N, SIDE, SIDE, 3) RGB and labels (N,) of the 24 static letters."""
    images, labels = [], []
    for index, letter in enumerate(STATIC_LETTERS):
        for path in sorted((folder / letter).iterdir()):
            images.append(load(path, SIDE, fit))
            labels.append(index)
    return np.stack(images), np.array(labels)


def build_network() -> Any:
    """Return a compact convolutional network with batch normalisation; its last layer is float32."""
    import keras
    from keras import layers

    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    for width, stride in ((32, 2), (48, 2), (64, 1), (96, 2), (128, 1), (192, 2), (192, 1)):
        x = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.Activation("relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.3)(x)
    x = layers.Dense(len(STATIC_LETTERS))(x)
    return keras.Model(inputs, layers.Activation("softmax", dtype="float32")(x))


def batches(images: np.ndarray, labels: np.ndarray, seed: int) -> Any:
    """Return an endless-epoch tf.data pipeline with light augmentation."""
    import tensorflow as tf

    pad = SIDE // 10

    def augment(image: Any, label: Any) -> tuple[Any, Any]:
        image = tf.cast(image, tf.float32)
        image = tf.pad(image, ((pad, pad), (pad, pad), (0, 0)), "REFLECT")
        image = tf.image.random_crop(image, (SIDE, SIDE, 3))
        image = tf.image.random_saturation(image, 0.0, 1.3)
        image = (image - 128) * tf.random.uniform((), 0.6, 1.4) + 128 + tf.random.uniform((), -30, 30)
        return tf.clip_by_value(image, 0, 255), label

    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(labels), seed=seed)
    return data.map(augment, num_parallel_calls=2).batch(64, drop_remainder=True).prefetch(2)


def train(images: np.ndarray, labels: np.ndarray, epochs: int, seed: int = 0) -> Any:
    """Return the network trained on these images with Adam and a cosine schedule."""
    import keras

    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = build_network()
    data = batches(images, labels, seed)
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, epochs * (len(labels) // 64))
    network.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = network.fit(data, epochs=epochs, verbose=0)
    print(
        f"  trained on {len(labels)} images, last training accuracy {history.history['accuracy'][-1]:.3f}", flush=True
    )
    return network


def score(network: Any, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return accuracy with its 95% Wilson interval, top-3, accuracy per letter and the most confused pairs."""
    probabilities = network.predict(images.astype(np.float32), batch_size=256, verbose=0)
    order = np.argsort(-probabilities, axis=1)
    right = order[:, 0] == labels
    confusion = np.zeros((len(STATIC_LETTERS),) * 2, int)
    np.add.at(confusion, (labels, order[:, 0]), 1)
    wrong = confusion * (1 - np.eye(len(STATIC_LETTERS), dtype=int))
    pairs = np.dstack(np.unravel_index(np.argsort(-wrong, axis=None)[:12], wrong.shape))[0]
    return {
        "images": len(labels),
        "accuracy": float(right.mean()),
        "interval_95": wilson_interval(int(right.sum()), len(labels)),
        "top_3": float((order[:, :3] == labels[:, None]).any(axis=1).mean()),
        "per_letter": {letter: float(right[labels == i].mean()) for i, letter in enumerate(STATIC_LETTERS)},
        "most_confused": [[STATIC_LETTERS[a], STATIC_LETTERS[b], int(wrong[a, b])] for a, b in pairs],
    }


def measure_transfer(data: Path, per_class: int, epochs: int, synthetic_only: bool = False) -> dict[str, Any]:
    """Return the accuracy of networks on the other domain: synthetic to real, and real to synthetic."""
    real = {name: read_folder(data / folder, FITS[name]) for name, folder in FOLDERS.items()}
    synthetic = read_synthetic(per_class, TRAIN_SEED)
    unseen = read_synthetic(max(20, per_class // 10), TEST_SEED)
    result: dict[str, Any] = {"letters": len(STATIC_LETTERS), "chance": 1 / len(STATIC_LETTERS), "epochs": epochs}

    network = train(*synthetic, epochs)
    result["trained_on_synthetic"] = {
        "images": len(synthetic[1]),
        "tested_on": {"synthetic (unseen)": score(network, *unseen)}
        | {name: score(network, *images) for name, images in real.items()},
    }
    if synthetic_only:
        return result
    together = tuple(np.concatenate(parts) for parts in zip(*real.values(), strict=True))
    network = train(together[0], together[1], epochs)
    result["trained_on_real"] = {
        "images": len(together[1]),
        "sources": list(real),
        "tested_on": {"synthetic": score(network, *unseen)},
    }
    return result


def draw_contact_sheet(path: Path, side: int = 104, columns: int = 6) -> None:
    """Write two synthetic hands per class with its name; committed, since it shows no photograph."""
    cv2 = opencv()
    cells = []
    for label in CLASSES:
        images = []
        for number in range(2):
            rng = np.random.default_rng([2024, number, CLASSES.index(label)])
            # Without noise, which a PNG file cannot compress.
            scene = replace(random_scene(label, rng, 2 * side), grain=0.0)
            image = draw_frame(scene, rng, 2 * side).image
            images.append(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) & 0xFC)
        strip = np.full((20, 2 * side, 3), 255, np.uint8)
        cv2.putText(strip, label, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
        cell = np.vstack([strip, np.hstack(images)])
        cells.append(cv2.copyMakeBorder(cell, 0, 4, 0, 6, cv2.BORDER_CONSTANT, value=(255, 255, 255)))
    while len(cells) % columns:
        cells.append(np.full_like(cells[0], 255))
    sheet = np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])
    ok, data = cv2.imencode(".png", sheet[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert ok
    atomic.write_bytes(path, data.tobytes())


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    lines = ["# The built-in synthetic hands", "", report["machine"]]
    if speed := report.get("speed"):
        rates = {
            "`draw_hand`: a new person and place per image": speed["draw_hand_images_per_second"]["median"],
            "`synthesize`: clips of ten frames, JPEG files written": speed["synthesize_images_per_second"]["median"],
        }
        lines += [
            "",
            f"## Speed (one core, {speed['size']}x{speed['size']}, median of {speed['rounds']} rounds over 29 classes)",
            "",
            *markdown_table(["what", "images per second"], [[name, f"{rate:.0f}"] for name, rate in rates.items()]),
        ]
    if transfer := report.get("transfer"):
        rows = []
        for key, name in (("trained_on_synthetic", "synthetic only"), ("trained_on_real", "kaggle + phone + studio")):
            for target, value in transfer.get(key, {}).get("tested_on", {}).items():
                low, high = value["interval_95"]
                accuracy = f"{value['accuracy']:.1%} ({low:.1%} to {high:.1%})"
                rows.append([name, target, value["images"], accuracy, f"{value['top_3']:.1%}"])
        lines += [
            "",
            f"## Transfer ({transfer['letters']} static letters, chance {transfer['chance']:.1%}, small network, "
            f"{transfer['epochs']} epochs)",
            "",
            *markdown_table(["trained on", "tested on", "images", "accuracy (95% interval)", "top-3"], rows, "llrrr"),
            "",
            *_letters_table(transfer),
        ]
    return page(*lines)


def _letters_table(transfer: dict[str, Any]) -> list[str]:
    columns = {
        f"{kind} → {target}": value["per_letter"]
        for key, kind in (("trained_on_synthetic", "synthetic"), ("trained_on_real", "real"))
        for target, value in transfer.get(key, {}).get("tested_on", {}).items()
    }
    rows = [[letter, *(f"{column[letter]:.0%}" for column in columns.values())] for letter in STATIC_LETTERS]
    return markdown_table(["letter", *columns], rows)


def main() -> None:
    """Run what was asked for and write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("ASL_EDGE_DATA"), help="folder of real images")
    parser.add_argument("--per-class", type=int, default=800, help="synthetic training images per letter")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of the speed measurement")
    parser.add_argument(
        "--only", choices=("speed", "transfer", "synthetic", "sheet"), help="`synthetic`: no training on photographs"
    )
    arguments = parser.parse_args()
    if arguments.only in (None, "sheet"):
        draw_contact_sheet(REPOSITORY / "docs" / "images" / "synthetic-hands.png")
    if arguments.only == "sheet":
        return
    report: dict[str, Any] = {
        "asl_edge_version": __version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, OpenCV {opencv().__version__}",
    }
    if arguments.only in (None, "speed"):
        report["speed"] = measure_speed(arguments.rounds)
    if arguments.only != "speed":
        if arguments.data is None:
            parser.error("--data (or ASL_EDGE_DATA) must name the folder of real images")
        report["transfer"] = measure_transfer(
            arguments.data, arguments.per_class, arguments.epochs, arguments.only == "synthetic"
        )
    write_result("accuracy/synthetic-hands", report, markdown(report))


if __name__ == "__main__":
    main()
