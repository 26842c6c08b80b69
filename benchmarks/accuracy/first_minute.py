"""The first minute: a fresh environment with the extra `cpu` alone, then `asl-edge predict` on ten images.

    python -m benchmarks.accuracy.first_minute IMAGES [--count 10] [--repeats 5]

IMAGES is a folder of labelled images; `--count` of them are taken, evenly spread, augmented ones (`aug_*`) left out.
Writes results/accuracy/first-minute.{json,md}.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import REPOSITORY, argument_parser, markdown_table, page, write_result

WORKSHOP = ("tensorflow", "keras", "tf2onnx", "onnx", "sklearn", "matplotlib")


def main() -> None:
    """Install, predict, write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    files = sorted(path.resolve() for path in options.images.rglob("*.jpg") if not path.name.startswith("aug_"))
    files = [files[place * len(files) // options.count] for place in range(options.count)]
    with tempfile.TemporaryDirectory() as scratch:
        environment = Path(scratch) / "environment"
        began = time.perf_counter()
        venv.create(environment, with_pip=True)
        tools = environment / ("Scripts" if sys.platform == "win32" else "bin")
        run(tools / "python", "-m", "pip", "install", "--quiet", f"{REPOSITORY}[cpu]")
        install_seconds = time.perf_counter() - began
        code = f"from importlib.util import find_spec; print([name for name in {WORKSHOP} if find_spec(name)])"
        present = run(tools / "python", "-c", code).strip()
        size = sum(path.stat().st_size for path in environment.rglob("*") if path.is_file() and not path.is_symlink())
        seconds, predictions = [], []
        for _ in range(options.repeats):
            began = time.perf_counter()
            printed = run(tools / "asl-edge", "predict", *files, "--json")
            seconds.append(time.perf_counter() - began)
            predictions = [json.loads(line) for line in printed.splitlines()]
    values = {
        "install_seconds": install_seconds,
        "environment_bytes": size,
        "workshop_packages_present": present,
        "predict_seconds": seconds,
        "predictions": [
            {
                "class": Path(prediction["source"]).parent.name,
                **{k: prediction[k] for k in ("label", "confidence", "accepted")},
            }
            for prediction in predictions
        ],
        "machine": describe_machine(),
    }
    write_result("accuracy/first-minute", values, markdown(values))


def run(*words: Any) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, cwd="/")
    return done.stdout


def markdown(values: dict[str, Any]) -> str:
    """Return the results as a page."""
    rows, seconds = values["predictions"], values["predict_seconds"]
    correct = sum(row["label"] == row["class"] for row in rows)
    accepted = [row for row in rows if row["accepted"]]
    return page(
        "# The first minute: a fresh environment, ten photographs of unseen signers",
        "",
        f"- environment with `asl-edge[cpu]`: {values['install_seconds']:.0f} s (packages from a cache nearby), "
        f"{values['environment_bytes'] / 1e6:.0f} MB; workshop packages present: {values['workshop_packages_present']}",
        f"- `asl-edge predict` on {len(rows)} photographs, whole process: median {statistics.median(seconds):.2f} s of "
        f"{len(seconds)} (first {seconds[0]:.2f} s)",
        f"- classified correctly: {correct} of {len(rows)}; accepted: {len(accepted)}, of these correct: "
        f"{sum(row['label'] == row['class'] for row in accepted)}",
        "",
        *markdown_table(
            ["class", "prediction", "confidence", ""],
            [
                [row["class"], row["label"], f"{row['confidence']:.2f}", "" if row["accepted"] else "not sure"]
                for row in rows
            ],
            "llrl",
        ),
        "",
        machine_line(values["machine"]),
    )


if __name__ == "__main__":
    main()
