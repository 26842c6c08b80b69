"""`asl-edge train --recipe tutorial` vs. the tutorial's own `fit`: images per second and peak memory.

    python -m benchmarks.speed.train ARRAYS [--train-rows 6000] [--validation-rows 2250] [--steps 188] [--repeats 2]

Both ways read the same arrays (A, B and C; rows repeated to reach the tutorial's 6,000 + 2,250), build the same network
and take the same number of steps of 32 images and the whole validation split. Each runs in its own process; the ways
alternate, and the process is watched from outside through /proc (Linux). At full size the tutorial's way takes some
16 GB of memory. Writes results/speed/NAME.{json,md}.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import REPOSITORY, argument_parser, markdown_table, page, write_result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

BATCH = 32
WAYS = ("asl-edge", "tutorial")


def main() -> None:
    """Measure, or be one of the measured processes."""
    parser = argument_parser(__doc__)
    parser.add_argument("arrays", type=Path, help="prepared arrays of A, B and C at 224x224")
    parser.add_argument("--train-rows", type=int, default=6000)
    parser.add_argument("--validation-rows", type=int, default=2250)
    parser.add_argument("--steps", type=int, help="steps of the epoch; default: all of them")
    parser.add_argument("--repeats", type=int, default=2, help="how often each way runs")
    parser.add_argument("--name", default="train", help="name of the result files")
    parser.add_argument("--child", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.steps = min(options.steps or 10**9, -(-options.train_rows // BATCH))
    if options.child:
        run = run_ours if options.child == "asl-edge" else run_tutorial
        print("RESULT " + json.dumps(run(options.arrays, options.steps)), flush=True)
        return
    with tempfile.TemporaryDirectory(prefix="asl-edge-benchmark-") as folder:
        repeat_rows(options.arrays, Path(folder), options.train_rows, options.validation_rows)
        runs = []
        for _ in range(options.repeats):
            for way in WAYS:
                runs.append(measure(way, Path(folder), options.steps))
                print(json.dumps(runs[-1]), flush=True)
    write_results(options, runs)


def repeat_rows(source: Path, target: Path, train_rows: int, validation_rows: int) -> None:
    """Write arrays of so many rows, those of `source` over and over; 32 images stand for the unused test split."""
    import numpy as np

    for split, count in (("train", train_rows), ("validation", validation_rows), ("test", 32)):
        for kind in ("set", "classes"):
            rows = np.load(source / f"{split}_{kind}.npy", mmap_mode="r")
            out = np.lib.format.open_memmap(
                target / f"{split}_{kind}.npy", mode="w+", dtype=rows.dtype, shape=(count, *rows.shape[1:])
            )
            for at in range(0, count, len(rows)):
                out[at : at + len(rows)] = rows[: min(len(rows), count - at)]
            out.flush()


class Clock:
    """Records when each step of the epoch ended."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.epoch_began = 0.0
        self.step_ends: list[float] = []

    def result(self, epoch_seconds: float) -> dict[str, float]:
        """Return seconds and rates; the steady rate leaves out the first two steps, in which the step is compiled."""
        steady = (len(self.step_ends) - 2) * BATCH / (self.step_ends[-1] - self.step_ends[1])
        return {
            "seconds_before_the_first_step": round(self.epoch_began - self.started, 3),
            "training_seconds": round(self.step_ends[-1] - self.epoch_began, 3),
            "epoch_with_validation_seconds": round(epoch_seconds, 3),
            "images_per_second": round(len(self.step_ends) * BATCH / (self.step_ends[-1] - self.epoch_began), 2),
            "steady_images_per_second": round(steady, 2),
        }


def run_ours(arrays: Path, steps: int) -> dict[str, float]:
    """One epoch as `asl-edge train` does it."""
    clock = Clock()
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.training import recipes
    from asl_edge.training.loop.progress import Progress
    from asl_edge.training.loop.train import train

    class Watch(Progress):
        def epoch_begins(self, epoch: int, epochs: int, images: int) -> None:
            clock.epoch_began = time.perf_counter()

        def images_seen(self, images: int, loss: float, waiting_share: float) -> None:
            clock.step_ends.append(time.perf_counter())

    prepared = PreparedArrays.open(arrays, classes=["A", "B", "C"])
    with tempfile.TemporaryDirectory(dir=arrays) as run:
        result = train(recipes.get("tutorial", epochs=1, steps_per_epoch=steps), prepared, Path(run), progress=Watch())
    return clock.result(result.history[0]["seconds"])


# Long, and kept so: the tutorial is one list of statements, and this is what it is compared with.
def run_tutorial(arrays: Path, steps: int) -> dict[str, float]:
    """One epoch as the tutorial does it: its lines in its order, changed only where Keras 3 rejects them.

    Changed: imports, `lr`, `period`, `.hdf5`, the Input layer, and an output per class (24 outputs for 3 one-hot
    columns is an error).
    """
    clock = Clock()
    import keras
    import numpy as np
    from keras.layers import Activation, BatchNormalization, Conv2D, Dense, Dropout, Flatten, MaxPooling2D
    from keras.models import Sequential
    from keras.optimizers import SGD

    npy_data_path = str(arrays)
    X_train = np.load(npy_data_path + "/train_set.npy")
    Y_train = np.load(npy_data_path + "/train_classes.npy")
    X_valid = np.load(npy_data_path + "/validation_set.npy")
    Y_valid = np.load(npy_data_path + "/validation_classes.npy")
    X_test = np.load(npy_data_path + "/test_set.npy")
    Y_test = np.load(npy_data_path + "/test_classes.npy")  # noqa: F841  (the tutorial loads it)
    X_test.shape  # noqa: B018  (the tutorial prints it)

    model = Sequential()
    model.add(keras.Input((224, 224, 3)))
    model.add(Conv2D(filters=96, kernel_size=(11, 11), strides=(4, 4), padding="valid"))
    model.add(Activation("relu"))
    model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2), padding="valid"))
    model.add(BatchNormalization())
    model.add(Conv2D(filters=256, kernel_size=(11, 11), strides=(1, 1), padding="valid"))
    model.add(Activation("relu"))
    model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2), padding="valid"))
    model.add(BatchNormalization())
    for filters in (384, 384):
        model.add(Conv2D(filters=filters, kernel_size=(3, 3), strides=(1, 1), padding="valid"))
        model.add(Activation("relu"))
        model.add(BatchNormalization())
    model.add(Conv2D(filters=256, kernel_size=(3, 3), strides=(1, 1), padding="valid"))
    model.add(Activation("relu"))
    model.add(MaxPooling2D(pool_size=(2, 2), strides=(2, 2), padding="valid"))
    model.add(BatchNormalization())
    model.add(Flatten())
    for units, rate in ((4096, 0.4), (4096, 0.6), (1000, 0.5)):
        model.add(Dense(units))
        model.add(Activation("relu"))
        model.add(Dropout(rate))
        model.add(BatchNormalization())
    model.add(Dense(Y_train.shape[1]))
    model.add(Activation("softmax"))

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            clock.epoch_began = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            clock.step_ends.append(time.perf_counter())

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seconds = time.perf_counter() - clock.epoch_began

    watch = Watch()
    sgd = SGD(learning_rate=0.001)
    model.compile(loss="categorical_crossentropy", optimizer=sgd, metrics=["accuracy"])
    with tempfile.TemporaryDirectory(dir=arrays) as run:
        checkpoint = keras.callbacks.ModelCheckpoint(
            run + "/weights.{epoch:02d}-{val_loss:.2f}.keras", monitor="val_loss", verbose=0, save_best_only=False
        )
        model.fit(
            X_train / 255.0,
            Y_train,
            batch_size=BATCH,
            epochs=1,
            steps_per_epoch=None if steps >= -(-len(X_train) // BATCH) else steps,
            verbose=0,
            validation_data=(X_valid / 255.0, Y_valid / 255.0),
            shuffle=True,
            callbacks=[watch, checkpoint],
        )
    return clock.result(watch.seconds)


def measure(way: str, arrays: Path, steps: int) -> dict[str, Any]:
    """Run one way in its own process and watch its memory."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.speed.train",
        str(arrays.resolve()),
        "--child",
        way,
        "--steps",
        str(steps),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
    peaks = {"RssAnon": 0, "VmRSS": 0}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            for name, value in memory_bytes(process.pid).items():
                peaks[name] = max(peaks[name], value)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    out, err = process.communicate()
    ended.set()
    watcher.join()
    result: dict[str, Any] = {
        "way": way,
        "exit_code": process.returncode,
        "peak_anonymous_bytes": peaks["RssAnon"],
        "peak_rss_bytes": peaks["VmRSS"],
    }
    lines = [line for line in out.splitlines() if line.startswith("RESULT ")]
    if lines:
        result |= json.loads(lines[-1].removeprefix("RESULT "))
    else:  # perhaps killed for its memory: what it used until then is reported
        result["stderr_tail"] = err[-500:]
    return result


def memory_bytes(pid: int) -> dict[str, int]:
    """Return RssAnon and VmRSS of a process, or nothing when it has ended."""
    sizes = {}
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("RssAnon", "VmRSS"):
                sizes[name] = int(value.split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return {}
    return sizes


def write_results(options: argparse.Namespace, runs: list[dict[str, Any]]) -> None:
    """Write the raw runs and their medians."""
    settings = {
        "train_rows": options.train_rows,
        "validation_rows": options.validation_rows,
        "steps": options.steps,
        "batch_size": BATCH,
        "repeats": options.repeats,
    }
    result = {"settings": settings, "machine": describe_machine(), "runs": runs}
    write_result(f"speed/{options.name}", result, markdown(result))


def markdown(result: dict[str, Any]) -> str:
    """Return the results as a page: the median of each way's runs, and the ratio."""
    settings = result["settings"]
    whole = settings["steps"] * settings["batch_size"] >= settings["train_rows"]
    columns = [
        ("images_per_second", "images/s", 1),
        ("steady_images_per_second", "images/s after step 2", 1),
        ("epoch_with_validation_seconds", "epoch with validation, s", 1),
        ("seconds_before_the_first_step", "before the first step, s", 1),
        ("peak_anonymous_bytes", "peak anonymous memory, MB", 1e6),
        ("peak_rss_bytes", "peak RSS, MB", 1e6),
    ]
    medians: dict[str, list[float | None]] = {}
    rows = []
    for way in WAYS:
        runs = [run for run in result["runs"] if run["way"] == way]
        medians[way] = [
            statistics.median(values) / unit if (values := [run[key] for run in runs if key in run]) else None
            for key, _, unit in columns
        ]
        failed = sum(run["exit_code"] != 0 for run in runs)
        name = f"{way} ({failed} of {len(runs)} runs failed)" if failed else way
        rows.append([name, *("-" if value is None else f"{value:,.1f}" for value in medians[way])])
    pairs = zip(medians[WAYS[0]], medians[WAYS[1]], strict=True)
    rows.append(["ratio", *(f"{ours / theirs:.2f}" if ours and theirs else "-" for ours, theirs in pairs)])
    return page(
        "# Training: the tutorial recipe vs. the tutorial's own way",
        "",
        f"{settings['train_rows']:,} + {settings['validation_rows']:,} rows of 224x224 (rows repeated), batch "
        f"{settings['batch_size']}, {settings['steps']} steps ({'a whole epoch' if whole else 'not a whole epoch'}), "
        f"float32; medians of {settings['repeats']} runs, the ways alternating.",
        "",
        *markdown_table(["way", *(title for _, title, _ in columns)], rows),
        "",
        machine_line(result["machine"]),
        "",
        "Anonymous memory is RssAnon of /proc, sampled every 50 ms; pages of the mapped arrays are not part of it. The "
        "raw runs are in the JSON file next to this one.",
    )


if __name__ == "__main__":
    main()
