"""`asl-edge train` vs. the tutorial's `fit`: images per second of one epoch, on a CPU or a GPU.

    python -m benchmarks.speed.train_throughput ARRAYS [--rows 6000] [--batch-size 128] [--repeats 3]
        [--limit-tflops F] [--name NAME]

Both train the tutorial's AlexNet on the same images (rows repeated to reach --rows), with the same batch size, in
separate processes that alternate; `--ways` also knows `unpooled`, ours with the usual allocators of TensorFlow and the
C library. Ours uses `--precision auto` and whatever `KERAS_BACKEND` names, the tutorial's way is TensorFlow in float32
on whole arrays divided by 255. Steps are timed from the third on; the wait for data is what
`history.csv` records. Also measured: ours with augmentation (`--augmentation strong`), and with ten times as many
images, for which peak anonymous memory must be the same. Page faults and the share of the processor's time that the
kernel takes are those of the timed steps. Writes results/speed/train-throughput[-NAME].{json,md}.

Arithmetic: 1,040 million multiply-adds forward make 6.2 GFLOP per image forward and backward, as long as convolutions
are computed directly; on a CPU ours takes a quarter of it (see `asl_edge.training.compute.fast_convolution`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
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
from benchmarks.speed.train import memory_bytes, repeat_rows

GFLOP_PER_IMAGE = 6.2
FIGURES = (
    "images_per_second",
    "waiting_share",
    "peak_anonymous_mb",
    "page_faults_per_step",
    "kernel_share",
    "loss",
)


def main() -> None:
    """Measure, or be one of the measured processes."""
    parser = argument_parser(__doc__)
    parser.add_argument("arrays", type=Path, help="prepared arrays at 224x224")
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=12, help="steps per epoch; 0: all of them")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit-tflops", type=float, help="peak of the machine, for the share of it that is used")
    parser.add_argument("--ways", default=",".join(("tutorial", "asl-edge", "augmented", "large")))
    parser.add_argument("--name", default="")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    ways = options.ways.split(",")
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="asl-edge-benchmark-") as folder:
        for name, rows in (("plain", options.rows), ("large", 10 * options.rows)):
            if name == "plain" or name in ways:
                (Path(folder) / name).mkdir()
                repeat_rows(options.arrays, Path(folder) / name, rows, 128)
        for _ in range(options.repeats):
            for way in ways:
                runs.append(measure(way, Path(folder) / ("large" if way == "large" else "plain"), options))
                print(json.dumps(runs[-1]), flush=True)
    write(options, ways, runs)


def measure(way: str, arrays: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run one way in its own process and watch its memory."""
    words = [sys.executable, "-m", "benchmarks.speed.train_throughput", str(arrays.resolve()), "--child", way]
    words += ["--batch-size", str(options.batch_size)]
    words += ["--steps", str(options.steps)]
    environment = dict(os.environ)
    if way == "tutorial":
        environment["KERAS_BACKEND"] = "tensorflow"
    if way in ("tutorial", "unpooled"):
        environment["TF_CPU_ALLOCATOR_USE_BFC"] = "0"  # TensorFlow's own default
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment, cwd=REPOSITORY
    )
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak[0] = max(peak[0], memory_bytes(process.pid).get("RssAnon", 0) / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = process.communicate()
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{way} failed with {process.returncode}")
    line = next(line for line in out.splitlines() if line.startswith("RESULT "))
    return {"way": way, **json.loads(line.removeprefix("RESULT ")), "peak_anonymous_mb": round(peak[0], 1)}


def child(options: argparse.Namespace) -> None:
    """Train one epoch and print what it took."""
    run = run_tutorial if options.child == "tutorial" else run_ours
    print("RESULT " + json.dumps(run(options)), flush=True)


class StepClock:
    """Keeps when each step ended, and what the process had cost by then."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._usage: list[resource.struct_rusage] = []

    def step(self) -> None:
        """Note that a step has ended."""
        self.times.append(time.perf_counter())
        self._usage.append(resource.getrusage(resource.RUSAGE_SELF))

    def figures(self, batch_size: int) -> dict[str, float]:
        """Return what the steps from the third on took."""
        first, last = self._usage[2], self._usage[-1]
        kernel, user = last.ru_stime - first.ru_stime, last.ru_utime - first.ru_utime
        return {
            **throughput(self.times, batch_size),
            "page_faults_per_step": round((last.ru_minflt - first.ru_minflt) / (len(self.times) - 3), 1),
            "kernel_share": round(kernel / (kernel + user), 4),
        }


def throughput(times: list[float], batch_size: int) -> dict[str, float]:
    """Return images per second from the third step on, by the median step, which a single pause does not affect."""
    steps = [later - earlier for earlier, later in itertools.pairwise(times[2:])]
    return {
        "images_per_second": round(batch_size / statistics.median(steps), 2),
        "images_per_second_mean": round(batch_size * len(steps) / sum(steps), 2),
        "steps": len(times),
    }


def run_ours(options: argparse.Namespace) -> dict[str, Any]:
    """Train as `asl-edge train` does."""
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.training import recipes
    from asl_edge.training.loop.progress import Progress
    from asl_edge.training.loop.train import train

    clock = StepClock()
    notes: list[str] = []

    class Clock(Progress):
        seconds_between_reports = 0.0  # to see every step

        def note(self, message: str) -> None:
            notes.append(message)

        def images_seen(self, images: int, loss: float, waiting_share: float) -> None:
            clock.step()

    config = recipes.get(
        "tutorial",
        epochs=1,
        batch_size=options.batch_size,
        precision="auto",
        augmentation="strong" if options.child == "augmented" else "none",
        steps_per_epoch=options.steps or None,
        drop_last=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        result = train(config, PreparedArrays.open(options.arrays), Path(folder) / "run", progress=Clock())
    return {
        **clock.figures(options.batch_size),
        "loss": result.history[0]["loss"],
        "waiting_share": result.history[0]["waiting_share"],
        "notes": notes,
    }


def run_tutorial(options: argparse.Namespace) -> dict[str, Any]:
    """Train as the tutorial does: whole arrays, divided by 255, into `fit`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np

    from asl_edge.training import networks

    images = np.load(options.arrays / "train_set.npy") / 255.0
    classes = np.load(options.arrays / "train_classes.npy")
    ours = networks.build("alexnet", classes.shape[1], images.shape[1])
    model = keras.Sequential([keras.Input(images.shape[1:]), *[x for x in ours.layers if x.name != "rescale"]])
    model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.SGD(0.001), metrics=["accuracy"])
    clock = StepClock()

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            clock.step()
            if batch + 1 == options.steps:
                self.model.stop_training = True

    model.fit(images, classes, epochs=1, batch_size=options.batch_size, shuffle=True, callbacks=[Clock()], verbose=0)
    return clock.figures(options.batch_size)


def write(options: argparse.Namespace, ways: list[str], runs: list[dict[str, Any]]) -> None:
    """Write the raw runs and their medians."""

    def median(way: str, key: str) -> float:
        return float(statistics.median(run[key] for run in runs if run["way"] == way))

    summary = {
        way: {key: median(way, key) for key in FIGURES if any(key in run for run in runs if run["way"] == way)}
        for way in ways
    }
    report = {
        "rows": options.rows,
        "batch_size": options.batch_size,
        "repeats": options.repeats,
        "limit_tflops": options.limit_tflops,
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "summary": summary,
        "runs": runs,
        "machine": describe_machine(),
    }
    name = "train-throughput" + (f"-{options.name}" if options.name else "")
    write_result(f"speed/{name}", report, markdown(report))


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    summary, limit = report["summary"], report.get("limit_tflops")
    names = {
        "augmented": "asl-edge, augmentation strong",
        "unpooled": "asl-edge, usual allocators",
        "large": f"asl-edge, {10 * report['rows']:,} images",
    }
    table = []
    for way, row in summary.items():
        rate = row["images_per_second"]
        table.append([
            names.get(way, way),
            f"{rate:.1f}",
            f"{rate / summary['tutorial']['images_per_second']:.2f}" if "tutorial" in summary else "",
            f"{report['rows'] / rate:.1f}",
            f"{row['waiting_share']:.2%}" if "waiting_share" in row else "not known",
            f"{row['page_faults_per_step']:,.0f}" if "page_faults_per_step" in row else "not known",
            f"{row['kernel_share']:.1%}" if "kernel_share" in row else "not known",
            f"{row['peak_anonymous_mb']:,.0f}",
            f"{rate * GFLOP_PER_IMAGE:.0f}",
            f"{rate * GFLOP_PER_IMAGE / 1000 / limit:.1%}" if limit else "",
        ])  # fmt: skip
    head = ["way", "images/s", "times the tutorial", "seconds per epoch", "waiting for data"]
    head += [
        "page faults per step",
        "kernel's share",
        "peak anonymous memory, MB",
        "GFLOP/s by direct convolution",
        "share of the limit",
    ]
    notes = {note for run in report["runs"] for note in run.get("notes", []) if note.startswith("Precision")}
    return page(
        "# Training throughput",
        "",
        f"AlexNet at 224x224, {report['rows']:,} images, batch {report['batch_size']}, {report['repeats']} runs of "
        f"each way in turns, medians of the medians of their steps; backend of asl-edge: {report['backend']}. "
        + " ".join(sorted(notes)),
        "",
        *markdown_table(head, table),
        "",
        machine_line(report["machine"]),
    )


if __name__ == "__main__":
    main()
