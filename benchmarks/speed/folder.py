"""From bytes to labels: a folder of JPEGs through asl-edge and through a plain loop; writes results/folder.{json,md}.

    python benchmarks/folder.py IMAGES [MODEL ...] [--count 1000] [--rounds 5] [--threads 2]

IMAGES is searched for JPEGs; the first `--count` in a seeded order are taken. The plain loop is what everybody
writes: cv2.imread, resize, session.run, image after image, ONNX Runtime's own defaults but for the threads. Both
take turns within one process, files in the page cache; the first turn of each is not counted.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    from machine import describe_machine

    from asl_edge.runtime.pretrained import pretrained_model

    files = sorted(path for path in options.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    random.Random(0).shuffle(files)
    names = [str(path) for path in files[: options.count]]
    results: dict[str, Any] = {
        "images": len(names),
        "bytes": sum(Path(name).stat().st_size for name in names),
        "rounds": options.rounds,
        "threads": options.threads,
        "models": {
            Path(model).name: measure(Path(model), names, options.rounds, options.threads)
            for model in [pretrained_model(), *options.models]
        },
        "machine": describe_machine(),
    }
    (RESULTS / "folder.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / "folder.md").write_text(markdown(results))


def measure(model: Path, names: list[str], rounds: int, threads: int) -> dict[str, Any]:
    """Return images per second of each turn, by way, and the share of labels that are alike."""
    from asl_edge.runtime.predictor import Predictor

    predictor = Predictor(model, provider="cpu", workers=threads, zoom=False)  # as `asl-edge predict FOLDER` does
    batches = Predictor(model, provider="cpu", threads=threads, batch_size=1, zoom=False)
    twice = Predictor(model, provider="cpu", workers=threads)
    classes = predictor.spec.classes
    ways: dict[str, Callable[[], list[str]]] = {
        "plain loop": plain_loop(model, names, threads, predictor.spec.input_size, classes),
        "asl-edge": lambda: [answer.label for answer in predictor(names)],
        "asl-edge, one at a time": lambda: [answer.label for answer in batches(names)],
    }
    if twice.zoom is not None:
        ways["asl-edge, two looks"] = lambda: [answer.label for answer in twice(names)]
    rates: dict[str, list[float]] = {name: [] for name in ways}
    labels: dict[str, list[str]] = {}
    for number in range(rounds + 1):
        for name in ways if number % 2 else reversed(ways):
            started = time.perf_counter()
            labels[name] = ways[name]()
            if number:
                rates[name].append(len(names) / (time.perf_counter() - started))
    alike = np.mean([one == two for one, two in zip(labels["plain loop"], labels["asl-edge"], strict=True)])
    return {"images_per_second": rates, "labels_alike": float(alike)}


def plain_loop(
    model: Path, names: list[str], threads: int, size: int, classes: tuple[str, ...]
) -> Callable[[], list[str]]:
    """Return the loop that everybody writes."""
    import cv2
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])

    def run() -> list[str]:
        found = []
        for name in names:
            image = cv2.imread(name)
            assert image is not None
            image = cv2.cvtColor(cv2.resize(image, (size, size)), cv2.COLOR_BGR2RGB)
            found.append(classes[int(session.run(["probabilities"], {"image": image[None]})[0].argmax())])
        return found

    return run


def markdown(results: dict[str, Any]) -> str:
    """Render the results as a page."""
    from machine import machine_line

    lines = [
        "# From bytes to labels",
        "",
        f"{results['images']} JPEGs of {results['bytes'] / results['images'] / 1e3:.1f} kB, {results['threads']} "
        f"threads; images per second, median of {results['rounds']} turns (least to most).",
        "",
        "| model | plain loop | asl-edge | times | asl-edge, one at a time | times | labels as the loop's "
        "| with second looks | times |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in results["models"].items():
        rates = row["images_per_second"]
        cells = {way: f"{median(v):.0f} ({min(v):.0f} to {max(v):.0f})" for way, v in rates.items()}
        ratio = {way: median(v) / median(rates["plain loop"]) for way, v in rates.items()}
        one, two = "asl-edge, one at a time", "asl-edge, two looks"
        times = f"{ratio[two]:.2f}" if two in ratio else ""
        lines.append(
            f"| {name} | {cells['plain loop']} | {cells['asl-edge']} | {ratio['asl-edge']:.2f} | {cells[one]} | "
            f"{ratio[one]:.2f} | {row['labels_alike']:.1%} | {cells.get(two, '')} | {times} |"
        )
    return "\n".join([*lines, "", machine_line(results["machine"]), ""])


if __name__ == "__main__":
    main()
