"""Two processes that train one AlexNet together vs. one process: what the second brings and what it costs.

    python -m benchmarks.speed.hosts [--batch-size 32] [--steps 10] [--repeats 3] [--name hosts]

Three ways, in turns, with JAX on a CPU and the same total batch: one process on one core, one on two cores, and two
processes on a core each that communicate over loopback (`--hosts`). Each process takes its share of every batch;
gradients are averaged with gloo in every step. Steps are timed from the third on. Linux only; that the results are
equal is tested in tests/training/test_backends.py. Writes results/speed/NAME.{json,md}.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import REPOSITORY, argument_parser, markdown_table, page, write_result

WAYS = {"one process, one core": [[0]], "one process, two cores": [[0, 1]], "two processes, one core each": [[0], [1]]}


def main() -> None:
    """Measure, or be one of the measured processes."""
    parser = argument_parser(__doc__)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--name", default="hosts", help="name of the result files")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(json.loads(options.child), options)
        return
    with tempfile.TemporaryDirectory(prefix="asl-edge-benchmark-") as folder:
        arrays = make_arrays(Path(folder), options.batch_size * options.steps)
        runs: list[dict[str, Any]] = []
        for repeat in range(options.repeats):
            for way, cores in WAYS.items():
                seconds = measure(Path(folder) / f"run-{repeat}-{len(runs)}", arrays, cores, options)
                runs.append({"way": way, "seconds_per_step": seconds})
                print(json.dumps(runs[-1]), flush=True)
    report = {"batch_size": options.batch_size, "steps": options.steps, "runs": runs, "machine": describe_machine()}
    write_result(f"speed/{options.name}", report, markdown(report))


def make_arrays(folder: Path, rows: int) -> Path:
    """Write arrays of noise; their content does not change the cost."""
    import numpy as np

    rng = np.random.default_rng(0)
    for split, count in (("train", rows), ("validation", 32), ("test", 32)):
        np.save(folder / f"{split}_set.npy", rng.integers(0, 256, (count, 224, 224, 3), dtype=np.uint8))
        np.save(folder / f"{split}_classes.npy", np.eye(24, dtype=np.float32)[np.arange(count) % 24])
    return folder


def measure(run: Path, arrays: Path, cores: list[list[int]], options: argparse.Namespace) -> float:
    """Train in one process per set of cores; return the median seconds per step of the first process."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    processes = []
    for index, mine in enumerate(cores):
        plan = {
            "run": str(run),
            "arrays": str(arrays),
            "cores": mine,
            "port": port,
            "index": index,
            "count": len(cores),
        }
        words = [sys.executable, "-m", "benchmarks.speed.hosts", "--child", json.dumps(plan)]
        words += ["--batch-size", str(options.batch_size), "--steps", str(options.steps)]
        environment = {**os.environ, "KERAS_BACKEND": "jax"}
        processes.append(
            subprocess.Popen(
                words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=REPOSITORY
            )
        )
    outputs = [process.communicate() for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit("\n".join(err for _, err in outputs))
    line = next(line for line in outputs[0][0].splitlines() if line.startswith("RESULT "))
    return float(line.removeprefix("RESULT "))


def child(plan: dict[str, Any], options: argparse.Namespace) -> None:
    """Train on the cores of `plan`, alone or together with the other process."""
    os.sched_setaffinity(0, plan["cores"])
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.training import recipes
    from asl_edge.training.compute.hosts import Hosts
    from asl_edge.training.loop.progress import Progress
    from asl_edge.training.loop.train import train

    times: list[float] = []

    class Clock(Progress):
        seconds_between_reports = 0.0  # to see every step

        def images_seen(self, images: int, loss: float, waiting_share: float) -> None:
            times.append(time.perf_counter())

    config = recipes.get("tutorial", epochs=1, batch_size=options.batch_size, drop_last=True)
    arrays = PreparedArrays.open(plan["arrays"], classes=[chr(65 + n) for n in range(24)])
    hosts = Hosts(f"127.0.0.1:{plan['port']}", 2, plan["index"]) if plan["count"] > 1 else None
    train(config, arrays, Path(plan["run"]), progress=Clock(), hosts=hosts)
    steps = [later - earlier for earlier, later in itertools.pairwise(times[2:])]
    print(f"RESULT {statistics.median(steps):.5f}", flush=True)


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    seconds = {
        way: statistics.median(run["seconds_per_step"] for run in report["runs"] if run["way"] == way) for way in WAYS
    }
    first = seconds["one process, one core"]
    rows = [
        [way, f"{value * 1e3:.0f}", f"{report['batch_size'] / value:.1f}", f"{first / value:.2f}"]
        for way, value in seconds.items()
    ]
    return page(
        "# Two processes train one AlexNet",
        "",
        f"JAX on a CPU in float32, {report['batch_size']} images of 224x224 per batch in total, over loopback; medians "
        f"of {len(report['runs']) // len(WAYS)} runs of {report['steps']} steps, the ways in turns. All 28 million "
        "gradients (112 MB) are averaged in every step.",
        "",
        *markdown_table(["way", "ms per step", "images/s", "times one core"], rows),
        "",
        machine_line(report["machine"]),
    )


if __name__ == "__main__":
    main()
