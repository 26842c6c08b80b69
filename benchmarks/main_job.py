"""The main job on real pictures, with the commands as a person types them; writes results/main-job.{json,md}.

    python benchmarks/main_job.py PICTURES [--work FOLDER] [--skip-abc] [--skip-all]

PICTURES is a folder as Kaggle's `grassknoted/asl-alphabet` has it. Part one trains A, B and C with the tutorial's
recipe under the block split and under the tutorial's random split; part two trains all classes with the default
recipe and exports FP32 and FP16. Every figure comes out of the commands' own JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from machine import describe_machine

RESULTS = Path(__file__).resolve().parent / "results"


def run(*words: str | Path) -> tuple[str, float]:
    """Run an asl-edge command; return its standard output and its wall time in seconds."""
    command = [str(word) for word in words]
    print("$ asl-edge " + shlex.join(command), file=sys.stderr, flush=True)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "asl_edge", *command], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout, time.perf_counter() - start


def history(run_folder: Path) -> list[dict[str, str]]:
    with (run_folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def train_and_judge(arrays: Path, run_folder: Path, *options: str) -> dict[str, Any]:
    """Train on prepared arrays and evaluate on the test split."""
    _, seconds = run("train", arrays, "--out", run_folder, *options)
    report, _ = run("evaluate", run_folder, arrays, "--split", "test", "--json")
    epochs = history(run_folder)
    return {
        "command": f"asl-edge train {arrays.name} --out {run_folder.name} {' '.join(options)}".strip(),
        "train_seconds": round(seconds, 1),
        "epochs": len(epochs),
        "last_epoch": epochs[-1],
        "test": json.loads(report),
    }


def prepare(pictures: Path, out: Path, *options: str) -> dict[str, Any]:
    report, seconds = run("data", "prepare", pictures, "--out", out, *options, "--json")
    return {"options": list(options), "seconds": round(seconds, 1), "report": json.loads(report)}


def tutorial_on_abc(pictures: Path, work: Path, epochs: int) -> dict[str, Any]:
    results = {}
    for split in ("blocks", "random"):
        arrays = work / f"abc-{split}"
        prepared = prepare(pictures, arrays, "--classes", "A,B,C", "--split", split)
        options = ["--recipe", "tutorial"] + (["--epochs", str(epochs)] if epochs else [])
        results[split] = {"prepare": prepared, **train_and_judge(arrays, work / f"run-abc-{split}", *options)}
    return results


def default_on_all(pictures: Path, work: Path, options: list[str]) -> dict[str, Any]:
    arrays, run_folder = work / "all-blocks", work / "run-all"
    result: dict[str, Any] = {"prepare": prepare(pictures, arrays)}
    result |= train_and_judge(arrays, run_folder, *options)
    result["random_split_leak"] = prepare(pictures, work / "all-random", "--split", "random")
    result["export"] = {}
    for precision in ("fp32", "fp16"):
        out = work / f"model-{precision}.onnx"
        report, seconds = run("export", run_folder, "--out", out, "--precision", precision, "--json")
        judged, _ = run("evaluate", out, arrays, "--split", "test", "--json")
        result["export"][precision] = {
            "whole_command_seconds": round(seconds, 1),
            "report": json.loads(report),
            "test": json.loads(judged),
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--work", type=Path, help="keep arrays and runs here (default: a temporary folder)")
    parser.add_argument("--abc-epochs", type=int, default=0, help="instead of the tutorial's 50")
    parser.add_argument("--only", choices=["abc", "all"])
    parser.add_argument("--train-option", action="append", default=[], help="for the run on all classes")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    place = RESULTS / "main-job.json"
    results = json.loads(place.read_text()) if place.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        results["machine"] = describe_machine()
        if arguments.only != "all":
            results["abc_tutorial"] = tutorial_on_abc(arguments.pictures, work, arguments.abc_epochs)
            place.write_text(json.dumps(results, indent=1) + "\n")
        if arguments.only != "abc":
            results["all_default"] = default_on_all(arguments.pictures, work, arguments.train_option)
            place.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
