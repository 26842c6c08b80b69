"""Accuracy on an unseen signer before and after `adapt`: some images adapt the model, others test it.

    python -m benchmarks.accuracy.adaptation IMAGES [--model FILE] [--per-class N ...] [--fine-tune]

The images of a class are divided in three ways, in the order of their numbers. `alternate` takes every other one, so
the same people and places are on both sides. `first` adapts with the first quarter and tests on the last half, `last`
the other way round: another session, with another hand, wall and light. That rule is made for `dev-wall` (20 images per
class), which was inspected image by image: a class shows two or three sessions one after the other, and the last of
them begins with image 6 to 11. So it is never in the first quarter, and it is all of the last half; halves of ten would
share it.

`--per-class` repeats everything with that many images per class. `--given` adapts with some classes only (alternate
images) and tests on all. `--fine-tune` also trains the whole network on the adapting images (`asl-edge train
--from-pretrained`), which needs the workshop packages; these are split by `data prepare --split random`, so that the
images that choose the best epoch come from the sessions that it trains on. Tested images are in no split. Writes
results/accuracy/adaptation.{json,md}.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.data.synthetic.rehearsal_images import stand_ins
from asl_edge.labels import parse_classes
from asl_edge.runtime.adapt import adapt
from asl_edge.runtime.adaptation import Adaptation
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.streams.sources import natural_key
from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import accuracy_cell, argument_parser, markdown_table, page, write_result

DIVISIONS = ("alternate", "first", "last")


def main() -> None:
    """Measure and write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--per-class", type=int, nargs="*", default=[10, 5, 3])
    parser.add_argument("--given", nargs="*", default=["A,B,C,T", "A,B,C,D,E", "T,X"])
    parser.add_argument("--fine-tune", action="store_true")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    partial: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for division in DIVISIONS:
            for count in sorted({min(count, available(options.images, division)) for count in options.per_class})[::-1]:
                folder = Path(scratch) / f"{division}-{count}"
                divide(options.images, folder, division, count)
                first_of_division = not any(row["division"] == division for row in rows)
                rows.append({"division": division, "per_class": count, **measured(options.model, folder)})
                if options.fine_tune and first_of_division:
                    rows[-1]["fine_tuned"] = fine_tuned(options.model, folder)
                print(json.dumps(rows[-1]), flush=True)
        for given in options.given:
            folder = Path(scratch) / f"given-{given}"
            divide(options.images, folder, "alternate", options.per_class[0], tuple(parse_classes(given)))
            partial.append({"names": given, **measured(options.model, folder, tuple(parse_classes(given)))})
            print(json.dumps(partial[-1]), flush=True)
    values = {
        "model": "the pretrained model" if options.model is None else options.model.name,
        "images": options.images.name,
        "machine": describe_machine(),
        "rows": rows,
        "some_classes_per_class": options.per_class[0],
        "some_classes": partial,
    }
    write_result("accuracy/adaptation", values, markdown(values))


def split_names(names: list[str], division: str) -> tuple[list[str], list[str]]:
    """Return the names of the images to adapt with and to test on."""
    if division == "alternate":
        return names[::2], names[1::2]
    first, last = names[: len(names) // 4], names[len(names) // 2 :]
    return (first, last) if division == "first" else (last, first)


def in_order(folder: Path) -> list[str]:
    """Return the names of the images of a class, ordered by their numbers."""
    return sorted((path.name for path in folder.iterdir()), key=natural_key)


def available(images: Path, division: str) -> int:
    """Return how many images to adapt with the largest class has."""
    return max(len(split_names(in_order(folder), division)[0]) for folder in images.iterdir() if folder.is_dir())


def divide(images: Path, folder: Path, division: str, count: int, given: tuple[str, ...] | None = None) -> None:
    """Copy `count` images of each class (of those `given`) into `folder/adapt`, and others into `folder/test`."""
    for letter in sorted(path for path in images.iterdir() if path.is_dir()):
        first, rest = split_names(in_order(letter), division)
        # Spread evenly, as a person would who is asked for fewer.
        chosen = [first[place] for place in np.linspace(0, len(first) - 1, min(count, len(first))).round().astype(int)]
        for half, members in (("adapt", chosen), ("test", rest)):
            if half == "adapt" and given is not None and letter.name not in given:
                continue
            (folder / half / letter.name).mkdir(parents=True)
            for name in members:
                shutil.copy(letter / name, folder / half / letter.name / name)


def measured(model: Path | None, folder: Path, given: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Return how many test images are classified correctly before and after, and what adapting took."""
    with Predictor(model) as predictor:
        before = correct_counts(predictor, folder / "test", given)
        began = time.perf_counter()
        adaptation, report = adapt(predictor, [folder / "adapt"], draw=stand_ins)
        seconds = time.perf_counter() - began
    path = adaptation.save(folder / "mine.npz")
    with Predictor(model, adaptation=Adaptation.load(path)) as adapted:
        after = correct_counts(adapted, folder / "test", given)
    return {
        "adapted_with": report.images,
        "seconds": seconds,
        "kilobytes": path.stat().st_size / 1000,
        "cross_validated": report.accuracy_after,
        **before,
        **{f"{name}_after": pair for name, pair in after.items()},
    }


def correct_counts(predictor: Predictor, folder: Path, given: tuple[str, ...] | None) -> dict[str, list[int]]:
    """Return [correct, images] of all classes, of those given, of the others, and of the accepted images."""
    threshold = predictor.spec.reject_threshold or 0.0
    counts = {name: [0, 0] for name in ("all", "given", "others", "accepted")}
    for letter in sorted(folder.iterdir()):
        of_class = "given" if given is None or letter.name in given else "others"
        for prediction in predictor(sorted(letter.iterdir())):
            accepted = ["accepted"] if prediction.confidence >= threshold else []
            for name in ["all", of_class, *accepted]:
                counts[name][0] += prediction.label == letter.name
                counts[name][1] += 1
    return counts


def fine_tuned(model: Path | None, folder: Path) -> dict[str, Any]:
    """Train the whole network on the adapting half and test it on the other."""
    from asl_edge.evaluation.evaluate import evaluate

    def run(*words: str) -> None:
        subprocess.run([sys.executable, "-m", "asl_edge", *words], check=True)

    began = time.perf_counter()
    arrays, out = folder / "arrays", folder / "run"
    size = str(Predictor(model).spec.input_size)
    run("data", "prepare", str(folder / "adapt"), "--out", str(arrays), "--size", size, "--split", "random")
    start = ("--from-pretrained",) if model is None else ("--start-from", str(model))
    run("train", str(arrays), "--out", str(out), *start)
    seconds = time.perf_counter() - began
    report = evaluate(out, folder / "test")
    return {"seconds": seconds, "after": [report.correct, report.images]}


def markdown(values: dict[str, Any]) -> str:
    """Return the results as a page."""
    lines = [
        f"# Adapting {values['model']} to the people of `{values['images']}`",
        "",
        "Some images of each class adapt the model, others test it. `alternate`: every other image, so both sides show "
        "the same people and places. `first`: the first quarter adapts, the last half tests; `last`: the other way "
        "round. There the test images come from another session: another hand, wall and light. 95% intervals (Wilson), "
        "as if the images were independent. Coverage: share of images accepted at the model's threshold; selective "
        "accuracy: share of these that are classified correctly.",
        "",
    ]
    head = ["division", "per class", "images", "before", "`asl-edge adapt`", "coverage, selective accuracy before"]
    head += ["after", "time", "`train --from-pretrained`", "time"]
    rows: list[list[object]] = []
    for row in values["rows"]:
        tuned = row.get("fine_tuned")
        cells = [row["division"], row["per_class"], row["adapted_with"]]
        cells += [accuracy_cell(*row["all"]), accuracy_cell(*row["all_after"]), *coverage_cells(row)]
        cells += [f"{row['seconds']:.1f} s", accuracy_cell(*tuned["after"]) if tuned else ""]
        rows.append([*cells, f"{tuned['seconds']:.0f} s" if tuned else ""])
    lines += markdown_table(head, rows)
    if values["some_classes"]:
        head = ["given", "these before", "after", "the others before", "after"]
        head += ["coverage, selective accuracy before", "after"]
        lines += [
            "",
            "## Adapting with some classes only",
            "",
            f"{values['some_classes_per_class']} images of each of these classes (alternate ones) adapt the model; it "
            "is tested on all classes.",
            "",
            *markdown_table(
                head,
                [
                    [
                        row["names"],
                        *(accuracy_cell(*row[key]) for key in ("given", "given_after", "others", "others_after")),
                        *coverage_cells(row),
                    ]
                    for row in values["some_classes"]
                ],
            ),
        ]
    kilobytes = values["rows"][0]["kilobytes"]
    return page(
        *lines, "", f"The file that `adapt` writes: {kilobytes:.0f} kB. Machine: {machine_line(values['machine'])}"
    )


def coverage_cells(row: dict[str, Any]) -> list[str]:
    """Return coverage and selective accuracy, before and after."""
    return [
        f"{row[key][1] / row[everything][1]:.1%}, {row[key][0] / max(row[key][1], 1):.1%}"
        for key, everything in (("accepted", "all"), ("accepted_after", "all_after"))
    ]


if __name__ == "__main__":
    main()
