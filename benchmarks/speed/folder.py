"""From bytes to labels: a folder of JPEGs through asl-edge and through a plain loop.

    python -m benchmarks.speed.folder IMAGES [MODEL ...] [--count 1000] [--rounds 5] [--threads 2]

IMAGES is searched for JPEGs; the first `--count` in a seeded order are used. The plain loop is what everybody writes:
cv2.imread, resize, session.run, one image after the other, ONNX Runtime's own defaults except for the threads. Both
take turns within one process, files in the page cache; the first turn of each is not counted. Writes
results/speed/folder.{json,md}.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result


def main() -> None:
    """Measure and write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
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
    write_result("speed/folder", results, markdown(results))


def measure(model: Path, names: list[str], rounds: int, threads: int) -> dict[str, Any]:
    """Return images per second of each turn, by way, and the share of equal labels."""
    from asl_edge.runtime.predictor import Predictor

    predictor = Predictor(model, provider="cpu", workers=threads, zoom=False)  # as `asl-edge predict FOLDER` does
    one_by_one = Predictor(model, provider="cpu", threads=threads, batch_size=1, zoom=False)
    zooming = Predictor(model, provider="cpu", workers=threads)
    classes = predictor.spec.classes
    ways: dict[str, Callable[[], list[str]]] = {
        "plain loop": plain_loop(model, names, threads, predictor.spec.input_size, classes),
        "asl-edge": lambda: [prediction.label for prediction in predictor(names)],
        "asl-edge, one at a time": lambda: [prediction.label for prediction in one_by_one(names)],
    }
    if zooming.zoom is not None:
        ways["asl-edge, with zoom pass"] = lambda: [prediction.label for prediction in zooming(names)]
    rates: dict[str, list[float]] = {name: [] for name in ways}
    labels: dict[str, list[str]] = {}
    for number in range(rounds + 1):
        for name in ways if number % 2 else reversed(ways):
            started = time.perf_counter()
            labels[name] = ways[name]()
            if number:
                rates[name].append(len(names) / (time.perf_counter() - started))
    equal = np.mean([one == two for one, two in zip(labels["plain loop"], labels["asl-edge"], strict=True)])
    return {"images_per_second": rates, "equal_labels": float(equal)}


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
        labels = []
        for name in names:
            image = cv2.imread(name)
            assert image is not None
            image = cv2.cvtColor(cv2.resize(image, (size, size)), cv2.COLOR_BGR2RGB)
            labels.append(classes[int(session.run(["probabilities"], {"image": image[None]})[0].argmax())])
        return labels

    return run


def markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    table = []
    for name, row in results["models"].items():
        rates = row["images_per_second"]
        cells = {way: f"{median(v):.0f} ({min(v):.0f} to {max(v):.0f})" for way, v in rates.items()}
        ratio = {way: f"{median(v) / median(rates['plain loop']):.2f}" for way, v in rates.items()}
        one, zoom = "asl-edge, one at a time", "asl-edge, with zoom pass"
        plain = [cells["plain loop"], cells["asl-edge"], ratio["asl-edge"], cells[one], ratio[one]]
        table.append([name, *plain, f"{row['equal_labels']:.1%}", cells.get(zoom, ""), ratio.get(zoom, "")])
    head = ["model", "plain loop", "asl-edge", "ratio", "asl-edge, one at a time", "ratio"]
    return page(
        "# From bytes to labels",
        "",
        f"{results['images']} JPEGs of {results['bytes'] / results['images'] / 1e3:.1f} kB, {results['threads']} "
        f"threads; images per second, median of {results['rounds']} turns (smallest to largest). Ratios are to the "
        "plain loop.",
        "",
        *markdown_table([*head, "labels equal to the loop's", "with zoom pass", "ratio"], table),
        "",
        *(f"{note}\n" for note in results.get("notes", [])),
        machine_line(results["machine"]),
    )


if __name__ == "__main__":
    main()
