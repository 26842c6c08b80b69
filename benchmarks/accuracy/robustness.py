"""What changes of the image do to a model: blur, noise, JPEG, light, size, place, angle.

Writes robustness.json, robustness.md and robustness.png.

    python benchmarks/robustness.py MODEL DATA... [--clean] [--threshold T] [--out FOLDER]

MODEL is an .onnx file or `box`, the model that comes with asl-edge; each DATA a folder or zip of labelled images.
Every image is brought to 224 pixels, changed there, and then goes the model's own way
(`asl_edge.imaging.preprocess.to_square`, ONNX Runtime on the CPU). Noise is seeded by the image itself, so two runs
give the same. What a change leaves empty repeats the border's pixels. `--clean` leaves out files named aug_*, which
were changed by those who published them.
"""

from __future__ import annotations

import argparse
import hashlib
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from machine import describe_machine, machine_line

from asl_edge import metrics
from asl_edge.errors import DataError
from asl_edge.evaluation.labelled_data import Wanted, open_labelled_data
from asl_edge.evaluation.multi_source import source_names
from asl_edge.files import atomic
from asl_edge.imaging.preprocess import Image, opencv, to_square
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.pretrained import resolve

RESULTS = Path(__file__).parent / "results" / "model-in-the-box"
SIDE = 224
BATCH = 32
COLOURS = ("#12355b", "#c8553d", "#3a8f6b", "#8a5fa8", "#c79a1e", "#5b6b7a")

Way = Callable[[Image], Image]
"""uint8 (224, 224, 3) RGB to the same."""


@dataclass(frozen=True)
class Change:
    """One row of the result: several ways are counted together, such as a shift in four directions."""

    group: str
    name: str
    ways: tuple[Way, ...]


@dataclass(frozen=True)
class Figures:
    """What a model read of the images of one source under one change."""

    group: str
    change: str
    images: int
    ways: int
    right: int
    """Of `images` times `ways` answers."""
    answered: int
    answered_right: int
    accuracy: float
    accuracy_interval_95: tuple[float, float]
    coverage: float
    accuracy_when_answered: float | None
    accuracy_when_answered_interval_95: tuple[float, float] | None


def as_it_is(image: Image) -> Image:
    """Change nothing."""
    return image


def blurred(sigma: float) -> Way:
    """Gaussian blur, sigma in pixels."""
    return lambda image: np.asarray(opencv().GaussianBlur(image, (0, 0), sigma))


def noisy(deviation: float) -> Way:
    """Gaussian noise of each pixel and channel, standard deviation in steps of 255."""

    def change(image: Image) -> Image:
        noise = np.random.default_rng(zlib.crc32(image.tobytes())).normal(0, deviation, image.shape)
        return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)

    return change


def stored(quality: int) -> Way:
    """Stored as JPEG and read again."""

    def change(image: Image) -> Image:
        cv2 = opencv()
        _, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])

    return change


def lit(gain: float) -> Way:
    """Every value times `gain`; what is too bright is cut off."""
    return lambda image: np.clip(np.rint(image * gain), 0, 255).astype(np.uint8)


def flat(share: float) -> Way:
    """Contrast lowered to `share` of it, about the image's mean."""
    return lambda image: np.rint(image.mean() + (image - image.mean()) * share).astype(np.uint8)


def grey(image: Image) -> Image:
    """Without colour."""
    cv2 = opencv()
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def smaller(scale: float) -> Way:
    """A smaller hand: the whole image shrunk, borders repeated around it."""

    def change(image: Image) -> Image:
        cv2, side = opencv(), round(SIDE * scale)
        before, after = (SIDE - side) // 2, SIDE - side - (SIDE - side) // 2
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.copyMakeBorder(small, before, after, before, after, cv2.BORDER_REPLICATE))

    return change


def larger(scale: float) -> Way:
    """A larger hand: the centre of the image."""

    def change(image: Image) -> Image:
        cv2, side = opencv(), round(SIDE / scale)
        start = (SIDE - side) // 2
        centre = image[start : start + side, start : start + side]
        return np.asarray(cv2.resize(centre, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))

    return change


def shifted(right: float, down: float) -> Way:
    """Shifted by shares of the side."""
    return moved(np.array([[1, 0, round(right * SIDE)], [0, 1, round(down * SIDE)]], np.float32))


def turned(degrees: float) -> Way:
    """Turned about the centre, anticlockwise."""
    return moved(opencv().getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), degrees, 1))


def moved(matrix: npt.NDArray[np.floating]) -> Way:
    """Moved by a matrix of shape (2, 3), borders repeated."""
    cv2 = opencv()
    return lambda image: np.asarray(
        cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def mirrored(image: Image) -> Image:
    """Turned left to right."""
    return np.ascontiguousarray(image[:, ::-1])


def changes() -> tuple[Change, ...]:
    """Return every change in the order of the tables; the first is none."""
    return (
        Change("as it is", "", (as_it_is,)),
        *(Change("blur", f"sigma {sigma} px", (blurred(sigma),)) for sigma in (1, 2, 4)),
        *(Change("noise", f"deviation {deviation}", (noisy(deviation),)) for deviation in (10, 25, 50)),
        *(Change("JPEG", f"quality {quality}", (stored(quality),)) for quality in (50, 20, 8)),
        *(Change("dark", f"x {gain}", (lit(gain),)) for gain in (0.6, 0.35, 0.2)),
        *(Change("bright", f"x {gain}", (lit(gain),)) for gain in (1.4, 1.8, 2.5)),
        *(Change("contrast", f"x {share}", (flat(share),)) for share in (0.5, 0.25)),
        Change("grey", "", (grey,)),
        *(Change("small hand", f"x {scale}", (smaller(scale),)) for scale in (0.75, 0.5)),
        *(Change("large hand", f"x {scale}", (larger(scale),)) for scale in (1.25, 1.5)),
        *(
            Change("shifted", f"{by:.0%}", (shifted(by, 0), shifted(-by, 0), shifted(0, by), shifted(0, -by)))
            for by in (0.1, 0.2)
        ),
        *(Change("turned", f"±{degrees}°", (turned(degrees), turned(-degrees))) for degrees in (15, 30)),
        Change("mirrored", "", (mirrored,)),
    )  # fmt: skip


def measure(predictor: Predictor, data: Path, threshold: float | None, clean: bool) -> dict[str, Any]:
    """Return the figures of one source under every change."""
    spec, every = predictor.spec, changes()
    right: list[list[npt.NDArray[np.bool_]]] = [[] for _ in every]
    answered: list[list[npt.NDArray[np.bool_]]] = [[] for _ in every]
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
                    right[number].append(probabilities.argmax(axis=1) == labels)
                    answered[number].append(metrics.answered(probabilities, threshold or 0.0))
    finally:
        labelled.close()
    if not right[0]:
        raise DataError(f"All {augmented} images in {data} are named aug_*; leave --clean out.")
    rows = [
        figures(change, np.concatenate(rights), np.concatenate(sure))
        for change, rights, sure in zip(every, right, answered, strict=True)
    ]
    return {
        "left_out": labelled.left_out,
        "skipped": len(labelled.skipped),
        "augmented_left_out": augmented,
        "changes": [asdict(row) for row in rows],
    }


def figures(change: Change, right: npt.NDArray[np.bool_], answered: npt.NDArray[np.bool_]) -> Figures:
    """Count what was read; `right` and `answered` are of shape (images times ways,)."""
    ways = len(change.ways)

    def interval(part: int, of: int) -> tuple[float, float] | None:
        # An image in several ways says little more than once, so it counts once.
        total = round(of / ways)
        return metrics.wilson_interval(min(round(part / ways), total), total) if total else None

    both = int((right & answered).sum())
    accuracy_interval = interval(int(right.sum()), len(right))
    assert accuracy_interval is not None
    return Figures(
        group=change.group,
        change=change.name,
        images=len(right) // ways,
        ways=ways,
        right=int(right.sum()),
        answered=int(answered.sum()),
        answered_right=both,
        accuracy=float(right.mean()),
        accuracy_interval_95=accuracy_interval,
        coverage=float(answered.mean()),
        accuracy_when_answered=both / int(answered.sum()) if answered.any() else None,
        accuracy_when_answered_interval_95=interval(both, int(answered.sum())),
    )


def to_markdown(report: dict[str, Any]) -> str:
    """Render the report for people."""
    model, threshold = report["model"], report["threshold"]
    said = "No threshold: every image is answered." if threshold is None else (
        f"Coverage: share of images answered with confidence {threshold:g} or more."
    )  # fmt: skip
    lines = [
        f"# What changes of the image do to {model['file']}",
        "",
        f"{model['network']}, {model['input_size']} pixels, {model['precision']}, {model['classes']} classes. Images "
        f"are changed at {SIDE} pixels and then go the model's own way, so that `as it is` may differ a little from "
        f"`asl-edge evaluate`. 95% intervals by Wilson; an image that is changed in several ways (shifted in four "
        f"directions, turned both ways) counts once in them. {said}",
    ]
    answered = ("", "") if threshold is None else (" coverage | when answered (95% interval) |", "---:|---:|")
    for source in report["sources"]:
        rows = source["changes"]
        without = source["augmented_left_out"]
        left_out = f"; {without} named aug_* left out" if without else ""
        lines += [
            "",
            f"## {source['name']} ({rows[0]['images']} images{left_out})",
            "",
            "| change | accuracy (95% interval) | against as it is |" + answered[0],
            "|---|---:|---:|" + answered[1],
        ]
        for row in rows:
            points = 100 * (row["accuracy"] - rows[0]["accuracy"])
            cells = [label(row), share(row["accuracy"], row["accuracy_interval_95"])]
            cells.append("" if row is rows[0] else f"{points:+.1f} points")
            if threshold is not None:
                cells += [
                    f"{row['coverage']:.1%}",
                    share(row["accuracy_when_answered"], row["accuracy_when_answered_interval_95"]),
                ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", machine_line(report["machine"]), ""])


def label(row: dict[str, Any]) -> str:
    """Name a change."""
    return f"{row['group']} {row['change']}".strip()


def share(value: float | None, interval: tuple[float, float] | None) -> str:
    """Write a share with its interval."""
    if value is None or interval is None:
        return "-"
    return f"{value:.1%} ({interval[0]:.1%} to {interval[1]:.1%})"


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw a point with its interval for each change and source."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sources = report["sources"]
    rows = sources[0]["changes"]
    panels = [("accuracy", "accuracy_interval_95", "accuracy")]
    if report["threshold"] is not None:
        panels += [
            ("coverage", None, "coverage: share answered"),
            ("accuracy_when_answered", "accuracy_when_answered_interval_95", "accuracy when answered"),
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
    title = f"What changes of the image do to {report['model']['file']}"
    figure.text(0.2 / width, 1 - 0.3 / height, title, fontsize=12, fontweight="bold")
    under = "bars: 95% intervals; dashed: the image as it is"
    if report["threshold"] is not None:
        under += f"; answered: confidence {report['threshold']:g} or more"
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
    """Draw one panel; `offset` is the step between two sources."""
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--clean", action="store_true", help="leave out files named aug_*")
    parser.add_argument("--threshold", type=float, help="confidence below which nothing is answered; the model's own")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--name", default="robustness", help="of the files, without their suffix")
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
    atomic.write_json(options.out / f"{options.name}.json", report)
    atomic.write_text(options.out / f"{options.name}.md", to_markdown(report))
    plot(report, options.out / f"{options.name}.png")
    print(to_markdown(report))


if __name__ == "__main__":
    main()
