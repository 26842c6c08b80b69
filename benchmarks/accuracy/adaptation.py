"""How much adapting to a person helps: some of a stranger's images to adapt with, others to test on.

    python benchmarks/adaptation.py IMAGES [--model FILE] [--per-class N ...] [--fine-tune] [--out FOLDER]

Three ways to part the images of a class in the order of their numbers. `turns` takes every other one: the same people
and places on both sides. `first` adapts with the first quarter and tests on the last half, `last` the other way round:
another sitting, with another hand, wall and light. That rule is made for `dev-wall` (20 images a class), looked at
image by image: a class shows two or three sittings one after the other, and the last of them begins with image 6
to 11. So it is never in the first quarter, and it is all of the last half; halves of ten would share it.

`--per-class` repeats it with so many images a class. `--given` adapts with some classes only, by turns, and tests on
all. `--fine-tune` also trains the whole network on the adapting images (`asl-edge train --from-pretrained`), which
needs the workshop packages; these are split by `data prepare --split random`, so that the images that choose its best
epoch are of the sittings that it trains on. The tested images are in no split. Writes adaptation.json and .md into
`--out`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from machine import describe_machine, machine_line

from asl_edge.data.synthetic.rehearsal_images import stand_ins
from asl_edge.labels import parse_classes
from asl_edge.metrics import wilson_interval
from asl_edge.runtime.adapt import adapt
from asl_edge.runtime.adaptation import Adaptation
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.streams.sources import natural_key

WAYS = ("turns", "first", "last")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--per-class", type=int, nargs="*", default=[10, 5, 3])
    parser.add_argument("--given", nargs="*", default=["A,B,C,T", "A,B,C,D,E", "T,X"])
    parser.add_argument("--fine-tune", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "model-in-the-box")
    options = parser.parse_args()
    rows, some = [], []
    with tempfile.TemporaryDirectory() as scratch:
        for way in WAYS:
            for count in sorted({min(count, available(options.images, way)) for count in options.per_class})[::-1]:
                folder = Path(scratch) / f"{way}-{count}"
                part(options.images, folder, way, count)
                new = not any(row["way"] == way for row in rows)
                rows.append({"way": way, "per_class": count, **measured(options.model, folder)})
                if options.fine_tune and new:
                    rows[-1]["fine_tuned"] = fine_tuned(options.model, folder)
                print(json.dumps(rows[-1]), flush=True)
        for given in options.given:
            folder = Path(scratch) / f"given-{given}"
            part(options.images, folder, "turns", options.per_class[0], tuple(parse_classes(given)))
            some.append({"names": given, **measured(options.model, folder, tuple(parse_classes(given)))})
            print(json.dumps(some[-1]), flush=True)
    write(options, rows, some)


def parted(names: list[str], way: str) -> tuple[list[str], list[str]]:
    """Return the names of the images to adapt with and to test on."""
    if way == "turns":
        return names[::2], names[1::2]
    first, last = names[: len(names) // 4], names[len(names) // 2 :]
    return (first, last) if way == "first" else (last, first)


def in_order(folder: Path) -> list[str]:
    """Return the names of the images of a class by their numbers."""
    return sorted((path.name for path in folder.iterdir()), key=natural_key)


def available(images: Path, way: str) -> int:
    """Return how many images to adapt with the largest class has."""
    return max(len(parted(in_order(folder), way)[0]) for folder in images.iterdir() if folder.is_dir())


def part(images: Path, folder: Path, way: str, count: int, given: tuple[str, ...] | None = None) -> None:
    """Copy `count` images of each class (of those `given`) into `folder/adapt`, and others into `folder/test`."""
    for letter in sorted(path for path in images.iterdir() if path.is_dir()):
        first, rest = parted(in_order(letter), way)
        # Spread over what there is, as a person would who is asked for fewer.
        chosen = [first[place] for place in np.linspace(0, len(first) - 1, min(count, len(first))).round().astype(int)]
        for half, members in (("adapt", chosen), ("test", rest)):
            if half == "adapt" and given is not None and letter.name not in given:
                continue
            (folder / half / letter.name).mkdir(parents=True)
            for name in members:
                shutil.copy(letter / name, folder / half / letter.name / name)


def measured(model: Path | None, folder: Path, given: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Return right answers on the tested images before and after, and what adapting took."""
    with Predictor(model) as predictor:
        before = answers(predictor, folder / "test", given)
        began = time.perf_counter()
        adaptation, report = adapt(predictor, [folder / "adapt"], draw=stand_ins)
        seconds = time.perf_counter() - began
    path = adaptation.save(folder / "mine.npz")
    with Predictor(model, adaptation=Adaptation.load(path)) as adapted:
        after = answers(adapted, folder / "test", given)
    return {
        "adapted_with": report.images,
        "seconds": seconds,
        "kilobytes": path.stat().st_size / 1000,
        "cross_validated": report.accuracy_after,
        **before,
        **{f"{name}_after": pair for name, pair in after.items()},
    }


def answers(predictor: Predictor, folder: Path, given: tuple[str, ...] | None) -> dict[str, list[int]]:
    """Return images read rightly and images: of all, of classes given and not, and of those above the threshold."""
    threshold = predictor.spec.reject_threshold or 0.0
    counts = {name: [0, 0] for name in ("all", "given", "others", "answered")}
    for letter in sorted(folder.iterdir()):
        of_class = "given" if given is None or letter.name in given else "others"
        for prediction in predictor(sorted(letter.iterdir())):
            sure = ["answered"] if prediction.confidence >= threshold else []
            for name in ["all", of_class, *sure]:
                counts[name][0] += prediction.label == letter.name
                counts[name][1] += 1
    return counts


def fine_tuned(model: Path | None, folder: Path) -> dict[str, Any]:
    """Train the whole network on the adapting half, and test it on the other."""
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
    return {"seconds": seconds, "after": [report.right, report.images]}


def write(options: argparse.Namespace, rows: list[dict[str, Any]], some: list[dict[str, Any]]) -> None:
    """Write adaptation.json and adaptation.md."""
    options.out.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    name = "the model in the box" if options.model is None else options.model.name
    values = {"model": name, "images": options.images.name, "machine": machine, "rows": rows, "some": some}
    (options.out / "adaptation.json").write_text(json.dumps(values, indent=2) + "\n")
    lines = [
        f"# Adapting {name} to the people of `{options.images.name}`\n",
        "Some images of each class to adapt with, others to test on. `turns`: every other image, so both show the "
        "same people and places. `first`: the first quarter adapts, the last half tests; `last`: the other way round. "
        "There the tested images are of another sitting: another hand, wall and light. 95% intervals (Wilson), as if "
        "the images were independent. Answered: share of the images above the model's threshold; right: share of "
        "these that are read rightly.\n",
        "| parted by | a class | images | before | `asl-edge adapt` | answered, right before | after | took | "
        "`train --from-pretrained` | took |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        tuned = row.get("fine_tuned")
        cells = [row["way"], row["per_class"], row["adapted_with"], share(row["all"]), share(row["all_after"])]
        cells += [*sure(row), f"{row['seconds']:.1f} s", share(tuned["after"]) if tuned else ""]
        cells += [f"{tuned['seconds']:.0f} s" if tuned else ""]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    if some:
        lines += [
            "\n## Some classes given\n",
            f"{options.per_class[0]} images of these classes to adapt with, by turns; tested on all classes.\n",
            "| given | these before | after | the others before | after | answered, right before | after |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
    for row in some:
        cells = [row["names"], *(share(row[key]) for key in ("given", "given_after", "others", "others_after"))]
        lines.append(f"| {' | '.join([*cells, *sure(row)])} |")
    lines.append(f"\nThe file that `adapt` writes: {rows[0]['kilobytes']:.0f} kB. Machine: {machine_line(machine)}\n")
    (options.out / "adaptation.md").write_text("\n".join(lines))


def sure(row: dict[str, Any]) -> list[str]:
    """Return the share answered and the share right among these, before and after."""
    return [
        f"{row[key][1] / row[everything][1]:.1%}, {row[key][0] / max(row[key][1], 1):.1%}"
        for key, everything in (("answered", "all"), ("answered_after", "all_after"))
    ]


def share(pair: list[int]) -> str:
    """Return a share with its interval."""
    low, high = wilson_interval(*pair)
    return f"{pair[0] / pair[1]:.1%} ({low:.1%}-{high:.1%}, n={pair[1]})"


if __name__ == "__main__":
    main()
