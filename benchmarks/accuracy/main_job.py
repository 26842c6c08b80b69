"""The main job on real images, with the commands as a user types them: prepare, train, evaluate, export.

    python -m benchmarks.accuracy.main_job IMAGES [--work FOLDER] [--only abc|all]

IMAGES is a folder as in Kaggle's `grassknoted/asl-alphabet`. Part one trains A, B and C with the tutorial's recipe
under the block split and under the tutorial's random split; part two trains all classes with the default recipe and
exports FP32 and FP16. Every figure comes from the commands' own JSON. Writes results/accuracy/main-job.{json,md}.
"""

from __future__ import annotations

import csv
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import RESULTS, argument_parser, markdown_table, page, write_result


def run(*words: str | Path) -> tuple[str, float]:
    """Run an asl-edge command; return its standard output and its wall time in seconds."""
    command = [str(word) for word in words]
    print("$ asl-edge " + shlex.join(command), file=sys.stderr, flush=True)
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "asl_edge", *command], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout, time.perf_counter() - start


def history(run_folder: Path) -> list[dict[str, str]]:
    """Read the rows of a run's history."""
    with (run_folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def train_and_judge(arrays: Path, run_folder: Path, *options: str) -> dict[str, Any]:
    """Train on prepared arrays and evaluate on the test split."""
    if (run_folder / "results.json").exists():  # a finished run in --work is used as it is
        seconds = sum(float(row["seconds"]) for row in history(run_folder))
    else:
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


def prepare(images: Path, out: Path, *options: str) -> dict[str, Any]:
    """Prepare arrays and return the report of the command."""
    report, seconds = run("data", "prepare", images, "--out", out, *options, "--overwrite", "--json")
    return {"options": list(options), "seconds": round(seconds, 1), "report": json.loads(report)}


def abc(images: Path, work: Path, recipe: str, epochs: int) -> dict[str, Any]:
    """Train A, B and C with one recipe under the block split and under the random split."""
    results = {}
    for split in ("blocks", "random"):
        arrays = work / f"abc-{split}"
        prepared = prepare(images, arrays, "--classes", "A,B,C", "--split", split)
        options = ["--recipe", recipe] + (["--epochs", str(epochs)] if epochs else [])
        results[split] = {"prepare": prepared, **train_and_judge(arrays, work / f"run-abc-{recipe}-{split}", *options)}
    return results


def default_on_all(images: Path, work: Path, options: list[str]) -> dict[str, Any]:
    """Train all classes with the default recipe; export FP32 and FP16; evaluate both files."""
    arrays, run_folder = work / "all-blocks", work / "run-all"
    result: dict[str, Any] = {"prepare": prepare(images, arrays)}
    result |= train_and_judge(arrays, run_folder, *options)
    result["random_split_leak"] = prepare(images, work / "all-random", "--split", "random")
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


def percent(report: dict[str, Any]) -> str:
    """Return an accuracy with its interval and the number of images."""
    low, high = report["accuracy_interval_95"]
    return f"{report['accuracy']:.1%} ({low:.1%} to {high:.1%}, n = {report['images']})"


def leak_cells(prepared: dict[str, Any]) -> list[str]:
    """Return the leak figures of a prepare report as cells of a table."""
    leak = prepared["report"]["leak"]
    (pairs,) = (
        pair for pair in leak["near_duplicates"] if (pair["first_split"], pair["second_split"]) == ("train", "test")
    )
    return [f"{pairs['images']} of {pairs['compared']}", f"{leak['nearest_neighbour_accuracy']:.1%}"]


def markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    lines = ["# The main job on real images", "", "Kaggle's ASL Alphabet, every 20th frame (150 images per class).", ""]
    head = ["split", "test accuracy (95% interval)", "epochs", "test images with a near duplicate in train"]
    head += ["nearest neighbour, train to test"]
    for key in ("abc_tutorial", "abc_default"):
        if key in results:
            rows = [
                [split, percent(result["test"]), result["epochs"], *leak_cells(result["prepare"])]
                for split, result in results[key].items()
            ]
            title = f"## A, B and C, recipe `{key.removeprefix('abc_')}`"
            lines += [title, "", *markdown_table(head, rows, "llrrr"), ""]
    if "all_default" in results:
        lines += markdown_of_all(results["all_default"])
    return page(*lines, machine_line(results["machine"]))


def markdown_of_all(result: dict[str, Any]) -> list[str]:
    """Return the tables of the run on all classes."""
    head = ["file", "MB", "conversion, s", "labels equal to Keras", "of clear images", "within rounding"]
    head += ["largest difference of probabilities", "of logits, relative", "test accuracy"]
    files = []
    for precision, export in result["export"].items():
        report, parity = export["report"], export["report"]["parity"]
        files.append([
            precision,
            f"{report['size_bytes'] / 1e6:.1f}",
            f"{report['conversion_seconds']:.1f}",
            f"{parity['label_agreement']:.2%} of {parity['images']}",
            f"{parity['clear_agreement']:.2%} of {parity['clear_images']}",
            parity["close_images"],
            f"{parity['max_probability_difference']:.1e}",
            f"{parity['max_logit_relative']:.1e}",
            percent(export["test"]),
        ])  # fmt: skip
    splits = {"blocks": result["prepare"], "random": result["random_split_leak"]}
    return [
        "## All 29 classes, default recipe, block split",
        "",
        f"Test accuracy {percent(result['test'])}, top-3 {result['test']['top_3_accuracy']:.1%}; "
        f"{result['epochs']} epochs in {result['train_seconds'] / 60:.1f} minutes.",
        "",
        *markdown_table(
            ["split", "test images with a near duplicate in train", "nearest neighbour, train to test"],
            [[split, *leak_cells(prepared)] for split, prepared in splits.items()],
        ),
        "",
        *markdown_table(head, files),
        "",
    ]


def write(results: dict[str, Any]) -> None:
    """Write what has been measured so far."""
    write_result("accuracy/main-job", results, markdown(results))


def main() -> None:
    """Run both parts, or one of them."""
    parser = argument_parser(__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--work", type=Path, help="keep arrays and runs here (default: a temporary folder)")
    parser.add_argument("--abc-epochs", type=int, default=0, help="instead of the tutorial's 50")
    parser.add_argument("--recipe", action="append", help="for A, B and C (default: tutorial and default)")
    parser.add_argument("--only", choices=["abc", "all"])
    parser.add_argument("--train-option", action="append", default=[], help="for the run on all classes")
    arguments = parser.parse_args()
    stored = RESULTS / "accuracy" / "main-job.json"
    results = json.loads(stored.read_text()) if stored.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        results["machine"] = describe_machine()
        if arguments.only != "all":
            for recipe in arguments.recipe or ["tutorial", "default"]:
                epochs = arguments.abc_epochs if recipe == "tutorial" else 0
                results[f"abc_{recipe}"] = abc(arguments.images, work, recipe, epochs)
                write(results)
        if arguments.only != "abc":
            results["all_default"] = default_on_all(arguments.images, work, arguments.train_option)
            write(results)


if __name__ == "__main__":
    main()
