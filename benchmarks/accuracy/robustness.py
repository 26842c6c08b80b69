"""How blur, noise, JPEG, light, size, position and angle change a model's accuracy.

    python -m benchmarks.accuracy.robustness MODEL DATA... [--clean] [--threshold T] [--name robustness]

MODEL is an .onnx file or `pretrained`; each DATA a folder or zip of labelled images. Every image is resized to 224
pixels, changed there, and then preprocessed as the model requires (`asl_edge.imaging.preprocess.to_square`, ONNX
Runtime on the CPU). Noise is seeded by the image itself, so two runs give the same. Where a change leaves an area
empty, the border's pixels are repeated. `--clean` leaves out files named aug_*, which their publishers changed. Writes
results/accuracy/NAME.{json,md,png}.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge import metrics
from asl_edge.errors import DataError
from asl_edge.evaluation.labelled_data import Wanted, open_labelled_data
from asl_edge.evaluation.multi_source import source_names
from asl_edge.files import atomic
from asl_edge.imaging.preprocess import to_square
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.pretrained import resolve
from benchmarks.accuracy.image_changes import SIDE, Change, changes
from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import RESULTS, argument_parser, markdown_table, page, write_result

BATCH = 32
COLOURS = ("#12355b", "#c8553d", "#3a8f6b", "#8a5fa8", "#c79a1e", "#5b6b7a")


@dataclass(frozen=True)
class Figures:
    """Results of a model on the images of one source under one change."""

    group: str
    change: str
    images: int
    ways: int
    correct: int
    """Of `images` times `ways` predictions."""
    accepted: int
    accepted_correct: int
    accuracy: float
    accuracy_interval_95: tuple[float, float]
    coverage: float
    selective_accuracy: float | None
    selective_accuracy_interval_95: tuple[float, float] | None


def measure(predictor: Predictor, data: Path, threshold: float | None, clean: bool) -> dict[str, Any]:
    """Return the figures of one source under every change."""
    spec, every = predictor.spec, changes()
    correct: list[list[npt.NDArray[np.bool_]]] = [[] for _ in every]
    accepted: list[list[npt.NDArray[np.bool_]]] = [[] for _ in every]
    augmented = 0
    labelled = open_labelled_data(data, Wanted(spec.classes, SIDE, spec.fit))
    try:
        for batch in labelled.batches(BATCH):
            kept = np.array([not (clean and Path(source).name.startswith("aug_")) for source in batch.sources])
            augmented += int((~kept).sum())
            images, labels = batch.images[kept], batch.labels[kept]
            if not len(labels):
                continue
            for number, change in enumerate(every):
                for way in change.ways:
                    changed = np.stack([to_square(way(image), predictor.image_size, spec.fit) for image in images])
                    probabilities = predictor.probabilities(changed)
                    correct[number].append(probabilities.argmax(axis=1) == labels)
                    accepted[number].append(metrics.accepted(probabilities, threshold or 0.0))
    finally:
        labelled.close()
    if not correct[0]:
        raise DataError(f"All {augmented} images in {data} are named aug_*; leave --clean out.")
    rows = [
        figures(change, np.concatenate(are_correct), np.concatenate(are_accepted))
        for change, are_correct, are_accepted in zip(every, correct, accepted, strict=True)
    ]
    return {
        "left_out": labelled.left_out,
        "skipped": len(labelled.skipped),
        "augmented_left_out": augmented,
        "changes": [asdict(row) for row in rows],
    }


def figures(change: Change, correct: npt.NDArray[np.bool_], accepted: npt.NDArray[np.bool_]) -> Figures:
    """Count the predictions of one change; `correct` and `accepted` have shape (images times ways,)."""
    ways = len(change.ways)

    def interval(part: int, of: int) -> tuple[float, float] | None:
        # An image that is changed in several ways says little more than once, so it counts once.
        total = round(of / ways)
        return metrics.wilson_interval(min(round(part / ways), total), total) if total else None

    both = int((correct & accepted).sum())
    accuracy_interval = interval(int(correct.sum()), len(correct))
    assert accuracy_interval is not None
    return Figures(
        group=change.group,
        change=change.name,
        images=len(correct) // ways,
        ways=ways,
        correct=int(correct.sum()),
        accepted=int(accepted.sum()),
        accepted_correct=both,
        accuracy=float(correct.mean()),
        accuracy_interval_95=accuracy_interval,
        coverage=float(accepted.mean()),
        selective_accuracy=both / int(accepted.sum()) if accepted.any() else None,
        selective_accuracy_interval_95=interval(both, int(accepted.sum())),
    )


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    model, threshold = report["model"], report["threshold"]
    rule = "No reject threshold: every image is accepted."
    if threshold is not None:
        rule = f"Coverage: share of images accepted with a confidence of {threshold:g} or more."
    lines = [
        f"# Robustness of {model['file']} to changes of the image",
        "",
        f"{model['network']}, {model['input_size']} pixels, {model['precision']}, {model['classes']} classes. Images "
        f"are changed at {SIDE} pixels and then preprocessed as the model requires, so `unchanged` may differ a little "
        "from `asl-edge evaluate`. 95% intervals (Wilson); an image that is changed in several ways (shifted in four "
        f"directions, rotated both ways) counts once in them. {rule}",
    ]
    for source in report["sources"]:
        rows = source["changes"]
        without = source["augmented_left_out"]
        left_out = f"; {without} named aug_* left out" if without else ""
        head = ["change", "accuracy (95% interval)", "vs. unchanged"]
        head += [] if threshold is None else ["coverage", "selective accuracy (95% interval)"]
        table = [_cells(row, rows[0], threshold) for row in rows]
        lines += ["", f"## {source['name']} ({rows[0]['images']} images{left_out})", "", *markdown_table(head, table)]
    return page(*lines, "", machine_line(report["machine"]))


def _cells(row: dict[str, Any], unchanged: dict[str, Any], threshold: float | None) -> list[str]:
    points = 100 * (row["accuracy"] - unchanged["accuracy"])
    cells = [label(row), share(row["accuracy"], row["accuracy_interval_95"])]
    cells.append("" if row is unchanged else f"{points:+.1f} points")
    if threshold is not None:
        cells += [f"{row['coverage']:.1%}", share(row["selective_accuracy"], row["selective_accuracy_interval_95"])]
    return cells


def label(row: dict[str, Any]) -> str:
    """Name a change."""
    return f"{row['group']} {row['change']}".strip()


def share(value: float | None, interval: tuple[float, float] | None) -> str:
    """Write a share with its interval."""
    if value is None or interval is None:
        return "-"
    return f"{value:.1%} ({interval[0]:.1%} to {interval[1]:.1%})"


def plot(report: dict[str, Any], path: Path) -> None:
    """Plot a point with its interval for each change and source."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sources = report["sources"]
    rows = sources[0]["changes"]
    panels: list[tuple[str, str | None, str]] = [("accuracy", "accuracy_interval_95", "accuracy")]
    if report["threshold"] is not None:
        panels += [
            ("coverage", None, "coverage: share accepted"),
            ("selective_accuracy", "selective_accuracy_interval_95", "selective accuracy"),
        ]
    # A larger step where a group of changes begins.
    steps = (1.0 if row["group"] == before["group"] else 1.45 for before, row in pairwise(rows))
    places = np.cumsum([0.0, *steps])
    step, offset = max(0.24, 0.1 * len(sources) + 0.06), min(0.3, 0.75 / len(sources))
    in_a_row = 2 * len(panels)
    left, right, bottom, gap = 1.75, 0.3, 0.45, 0.35
    top = 1.05 + 0.22 * -(-len(sources) // in_a_row)
    panel = 5.6 if len(panels) == 1 else 3.5
    width = left + len(panels) * panel + (len(panels) - 1) * gap + right
    height = top + step * (places[-1] + 1) + bottom
    figure = Figure(figsize=(width, height), dpi=130)
    FigureCanvasAgg(figure)
    for number, (value, interval, title) in enumerate(panels):
        begin = left + number * (panel + gap)
        axes = figure.add_axes((begin / width, bottom / height, panel / width, 1 - (top + bottom) / height))
        draw(axes, sources, places, value, interval, offset)
        axes.set_title(title, fontsize=10, pad=6)
        axes.set_yticks(places, [label(row) for row in rows] if number == 0 else [""] * len(rows), fontsize=8.5)
    title = f"Robustness of {report['model']['file']} to changes of the image"
    figure.text(0.2 / width, 1 - 0.3 / height, title, fontsize=12, fontweight="bold")
    under = "bars: 95% intervals; dashed: the unchanged image"
    if report["threshold"] is not None:
        under += f"; accepted: confidence {report['threshold']:g} or more"
    figure.text(0.2 / width, 1 - 0.53 / height, under, fontsize=8, color="#555555")
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="upper left", bbox_to_anchor=(0.12 / width, 1 - 0.56 / height), ncols=in_a_row,
        frameon=False, fontsize=9, handletextpad=0.1, columnspacing=1.2,
    )  # fmt: skip
    with atomic.replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def draw(
    axes: Any,
    sources: list[dict[str, Any]],
    places: npt.NDArray[np.float64],
    value: str,
    interval: str | None,
    offset: float,
) -> None:
    """Plot one panel; `offset` is the step between two sources."""
    for number, source in enumerate(sources):
        colour, rows = COLOURS[number % len(COLOURS)], source["changes"]
        shown = [(at, row) for at, row in zip(places, rows, strict=True) if row[value] is not None]
        heights = np.array([at for at, _ in shown]) + offset * (number - (len(sources) - 1) / 2)
        points = np.array([100 * row[value] for _, row in shown])
        name = f"{source['name']} ({rows[0]['images']} images)"
        if interval is not None:
            ends = 100 * np.array([row[interval] for _, row in shown]).reshape(-1, 2)
            axes.hlines(heights, ends[:, 0], ends[:, 1], color=colour, linewidth=1.6, alpha=0.55)
        axes.plot(points, heights, "o", color=colour, markersize=4.2, label=name)
        if rows[0][value] is not None:
            axes.axvline(100 * rows[0][value], color=colour, linewidth=0.9, linestyle=(0, (4, 3)), alpha=0.7, zorder=1)
    axes.set_xlim(-1.5, 101.5)
    axes.set_xticks(range(0, 101, 20), [f"{tick}%" for tick in range(0, 101, 20)], fontsize=8)
    axes.set_ylim(places[-1] + 0.8, -0.8)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.hlines(places, -1.5, 101.5, color="#f0f0f0", linewidth=0.6, zorder=0)


def main() -> None:
    """Measure every source and write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--clean", action="store_true", help="leave out files named aug_*")
    parser.add_argument("--threshold", type=float, help="reject threshold; by default the model's own")
    parser.add_argument("--name", default="robustness", help="name of the result files")
    options = parser.parse_args()
    model, names = Path(resolve(options.model)), source_names(options.data)
    with Predictor(model, provider="cpu", batch_size=BATCH, threshold=options.threshold) as predictor:
        spec = predictor.spec
        report: dict[str, Any] = {
            "model": {
                "file": model.name,
                "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
                "network": spec.network,
                "input_size": spec.input_size,
                "fit": spec.fit,
                "precision": spec.precision,
                "classes": len(spec.classes),
            },
            "threshold": predictor.threshold,
            "side": SIDE,
            "sources": [],
            "machine": describe_machine(),
        }
        for name, data in zip(names, options.data, strict=True):
            began = time.perf_counter()
            report["sources"].append({"name": name} | measure(predictor, data, predictor.threshold, options.clean))
            print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    write_result(f"accuracy/{options.name}", report, markdown(report))
    plot(report, RESULTS / "accuracy" / f"{options.name}.png")


if __name__ == "__main__":
    main()
