"""What each part of the recipe `strangers` is worth: small trainings that differ in one thing; writes ablations.md.

    python benchmarks/ablations.py DATA --work WORK [--only NAME ...]

Each training sees 215,000 pictures of 96x96 (a thirteenth of what the model in the box saw, at three quarters of its
size), so the figures are lower than the shipped ones; what counts is the difference from the first row, and `again`
shows how far two trainings differ that differ in their seed alone. Every look is a line in looks.md as well.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "model-in-the-box"
COMMON = ("epochs=24", "steps_per_epoch=140", "ema_momentum=0.995")
DRAWN = ("--drawn", "500", "--variety", "wider")
ABLATIONS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "base": ("the recipe with 500 drawn hands a class", DRAWN, ()),
    "again": ("the same with another seed", DRAWN, ("seed=1",)),
    "photographs": ("no drawn hands", (), ()),
    "light": (
        "augmentation `light`: smaller changes, no other backgrounds",
        DRAWN,
        ("augmentation=light",),
    ),
    "right-hands": ("no picture mirrored", DRAWN, ("flip_probability=0",)),
    "dropout": ("all of the network's dropout, not half", DRAWN, ("dropout_scale=1",)),
    "every-picture": (
        "every picture counts alike, whatever its source",
        DRAWN,
        ("source_exponent=1",),
    ),
    "last-weights": ("no average over weights (EMA)", DRAWN, ("ema_momentum=0",)),
    "mixup": ("a fifth of the pictures mixed with others (mixup)", DRAWN, ("mixup_probability=0.2",)),
    "no-smoothing": ("no label smoothing", DRAWN, ("label_smoothing=0",)),
}


def main() -> None:
    """Train, look, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("strangers"))
    parser.add_argument("--only", nargs="+", choices=ABLATIONS, default=list(ABLATIONS))
    options = parser.parse_args()
    for name in options.only:
        if f"| ablation-{name} |" not in (RESULTS / "looks.md").read_text():
            _, drawn, changes = ABLATIONS[name]
            kept = [choice for choice in COMMON if choice.split("=")[0] not in {one.split("=")[0] for one in changes}]
            words = [sys.executable, str(HERE / "strangers.py"), str(options.data), "--name", f"ablation-{name}"]
            words += ["--size", "96", "--look", "--work", str(options.work), *drawn]
            subprocess.run([*words, *(word for choice in (*kept, *changes) for word in ("--set", choice))], check=True)
        (RESULTS / "ablations.md").write_text(markdown((RESULTS / "looks.md").read_text()))


def markdown(looks: str) -> str:
    """Render the table from the log of all looks."""
    lines = [
        "# One thing at a time",
        "",
        "Trainings of `alexnet-edge` at 96x96 with 215,000 pictures each, which differ from the first row in one thing "
        "(`benchmarks/ablations.py`); accuracy with 95% interval (Wilson). Differences within the intervals, or within "
        "what another seed makes, are no finding.",
        "",
        "| what | dev-wall | dev-rooms, clean | dev-rooms, aug | blocks kaggle | blocks phone |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, (what, _, _) in ABLATIONS.items():
        found = re.findall(rf"^\|[^|]*\| ablation-{name} \|[^|]*\|(.*)\|$", looks, re.MULTILINE)
        if found:
            kaggle, phone, _, wall, clean, changed = (cell.strip() for cell in found[-1].split("|"))
            lines.append(f"| {what} | {wall} | {clean} | {changed} | {kaggle} | {phone} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
