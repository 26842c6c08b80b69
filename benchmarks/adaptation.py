"""How much adapting to a person helps: half of a stranger's pictures to adapt with, the other half to test on.

    python benchmarks/adaptation.py PICTURES [--model FILE] [--per-class N ...] [--fine-tune] [--out FOLDER]

Two ways to halve the pictures of a class in the order of their numbers: `turns` takes every other one (the same people
and places on both sides, other frames), `halves` the first half (where several people or places follow each other, the
test shows mostly the others). `--per-class` repeats it with so many pictures a class. `--fine-tune` also trains the
whole network on them (`asl-edge train --from-pretrained`), which needs the workshop packages. Writes adaptation.json
and .md into `--out`.
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

from asl_edge.metrics import wilson_interval
from asl_edge.runtime.adaptation import Adaptation, adapt
from asl_edge.runtime.predictor import Predictor
from asl_edge.runtime.sources import natural_key

WAYS = ("turns", "halves")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--per-class", type=int, nargs="*", default=[10, 5, 3])
    parser.add_argument("--fine-tune", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "model-in-the-box")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for way in WAYS:
            for count in options.per_class:
                folder = Path(scratch) / f"{way}-{count}"
                halve(options.pictures, folder, way, count)
                rows.append({"way": way, "per_class": count, **measured(options.model, folder)})
                if options.fine_tune and count == options.per_class[0]:
                    rows[-1]["fine_tuned"] = fine_tuned(options.model, folder)
                print(json.dumps(rows[-1]), flush=True)
    write(options, rows)


def halve(pictures: Path, folder: Path, way: str, count: int) -> None:
    """Copy half of the pictures of each class into `folder/adapt`, the other half into `folder/test`."""
    for letter in sorted(path for path in pictures.iterdir() if path.is_dir()):
        names = sorted((path.name for path in letter.iterdir()), key=natural_key)
        first = names[::2] if way == "turns" else names[: len(names) // 2]
        rest = [name for name in names if name not in set(first)]
        # Spread over what there is, as a person would who is asked for fewer.
        chosen = [first[place] for place in np.linspace(0, len(first) - 1, min(count, len(first))).round().astype(int)]
        for half, members in (("adapt", chosen), ("test", rest)):
            (folder / half / letter.name).mkdir(parents=True)
            for name in members:
                shutil.copy(letter / name, folder / half / letter.name / name)


def measured(model: Path | None, folder: Path) -> dict[str, Any]:
    """Return right answers on the test half before and after, and what adapting took."""
    with Predictor(model) as predictor:
        before = answers(predictor, folder / "test")
        began = time.perf_counter()
        adaptation, report = adapt(predictor, [folder / "adapt"])
        seconds = time.perf_counter() - began
    path = adaptation.save(folder / "mine.npz")
    with Predictor(model, adaptation=Adaptation.load(path)) as adapted:
        after = answers(adapted, folder / "test")
    return {
        "adapted_with": report.pictures,
        "seconds": seconds,
        "kilobytes": path.stat().st_size / 1000,
        "cross_validated": report.accuracy_after,
        "before": before,
        "after": after,
    }


def answers(predictor: Predictor, folder: Path) -> list[int]:
    """Return pictures read rightly, and pictures."""
    right = count = 0
    for letter in sorted(folder.iterdir()):
        for prediction in predictor(sorted(letter.iterdir())):
            right += prediction.label == letter.name
            count += 1
    return [right, count]


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
    return {"seconds": seconds, "after": [report.right, report.pictures]}


def write(options: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Write adaptation.json and adaptation.md."""
    options.out.mkdir(parents=True, exist_ok=True)
    machine = describe_machine()
    name = "the model in the box" if options.model is None else options.model.name
    values = {"model": name, "pictures": options.pictures.name, "machine": machine, "rows": rows}
    (options.out / "adaptation.json").write_text(json.dumps(values, indent=2) + "\n")
    lines = [
        f"# Adapting {name} to the people of `{options.pictures.name}`\n",
        "Half of the pictures of each class to adapt with, the other half to test on. `turns`: every other picture, "
        "so both halves show the same people and places. `halves`: the first half of the pictures, so that the test "
        "shows mostly other people and places. 95% intervals (Wilson), as if the pictures were independent.\n",
        "| halved by | a class | pictures | before | `asl-edge adapt` | took | `train --from-pretrained` | took |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        tuned = row.get("fine_tuned")
        cells = [row["way"], row["per_class"], row["adapted_with"], share(row["before"]), share(row["after"])]
        cells += [f"{row['seconds']:.1f} s", share(tuned["after"]) if tuned else ""]
        cells += [f"{tuned['seconds']:.0f} s" if tuned else ""]
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    lines.append(f"\nThe file that `adapt` writes: {rows[0]['kilobytes']:.0f} kB. Machine: {machine_line(machine)}\n")
    (options.out / "adaptation.md").write_text("\n".join(lines))


def share(pair: list[int]) -> str:
    """Return a share with its interval."""
    low, high = wilson_interval(*pair)
    return f"{pair[0] / pair[1]:.1%} ({low:.1%}-{high:.1%}, n={pair[1]})"


if __name__ == "__main__":
    main()
