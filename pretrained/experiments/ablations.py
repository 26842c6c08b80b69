"""What each part of the recipe `strangers` is worth: small trainings that differ in one thing; writes ablations.md.

    python benchmarks/ablations.py DATA --work WORK [--only NAME ...]

A network of 96x96 is trained on drawn hands alone. From its weights each training here sees 45,000 images, drawn
hands and photographs, so the figures are lower than the shipped ones; what counts is the difference from the first row,
and `again` shows how far trainings differ that differ in their seed alone. Every look is a line in looks.md as well.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
RESULTS = HERE / "results" / "model-in-the-box"
NETWORK = "alexnet-edge"
"""What these trainings are of; the model in the box has eight convolutions by now."""
COMMON = ("epochs=5", "steps_per_epoch=140", "ema_momentum=0.995")
DRAWN = ("--drawn", "500", "--variety", "wider")
ABLATIONS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "base": ("the recipe with 500 drawn hands a class", DRAWN, ()),
    "again": ("the same with another seed", DRAWN, ("seed=1",)),
    "photographs": ("no drawn hands beside the photographs", (), ()),
    "light": (
        "augmentation `light`: smaller changes, no other backgrounds, no other light",
        DRAWN,
        ("augmentation=light",),
    ),
    "right-hands": ("no image mirrored", DRAWN, ("flip_probability=0",)),
    "dropout": ("all of the network's dropout, not half", DRAWN, ("dropout_scale=1",)),
    "every-image": (
        "every image counts alike, whatever its source",
        DRAWN,
        ("source_exponent=1",),
    ),
    "last-weights": ("no average over weights (EMA)", DRAWN, ("ema_momentum=0",)),
    "mixup": ("a fifth of the images mixed with others (mixup)", DRAWN, ("mixup_probability=0.2",)),
    "no-smoothing": ("no label smoothing", DRAWN, ("label_smoothing=0",)),
}


def main() -> None:
    """Train, look, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("strangers"))
    parser.add_argument("--only", nargs="+", choices=ABLATIONS, default=list(ABLATIONS))
    options = parser.parse_args()
    start = draw_and_train(options.work, NETWORK)
    for name in options.only:
        if f"| ablation-{name} |" not in (RESULTS / "looks.md").read_text():
            _, drawn, changes = ABLATIONS[name]
            kept = [choice for choice in COMMON if choice.split("=")[0] not in {one.split("=")[0] for one in changes}]
            words = [sys.executable, str(HERE / "strangers.py"), str(options.data), "--name", f"ablation-{name}"]
            words += ["--size", "96", "--look", "--work", str(options.work), *drawn, "--start-from", start]
            words += ["--network", NETWORK]
            subprocess.run([*words, *(word for choice in (*kept, *changes) for word in ("--set", choice))], check=True)
        (RESULTS / "ablations.md").write_text(markdown((RESULTS / "looks.md").read_text()))


def draw_and_train(work: Path, network: str) -> str:
    """Train a network on drawn hands alone, unless that stands in `work`; return the run's name there."""
    from strangers import VARIETY

    from asl_edge.data.prepare.prepare import PrepareConfig, prepare
    from asl_edge.data.synthetic import synthesize

    run = f"drawn-alone-96-{network}"
    if (work / run / "results.json").is_file():
        return run
    hands, arrays = work / "drawn-2000-wider", work / "arrays-96-drawn-alone"
    if not hands.is_dir():
        synthesize(hands, per_class=2000, clip_frames=1, seed=1, size=160, variety=VARIETY["wider"])
    if not arrays.is_dir():
        prepare(PrepareConfig((hands,), arrays, size=96))
    words = [sys.executable, "-m", "asl_edge", "train", str(arrays), "--out", str(work / run), "--no-check"]
    words += ["--resume"] if (work / run / "config.json").is_file() else ["--recipe", "strangers", "--network", network]
    chosen = () if "--resume" in words else ("epochs=20", "steps_per_epoch=140", "ema_momentum=0.995")
    subprocess.run([*words, *(word for choice in chosen for word in ("--set", choice))], check=True)
    return run


def markdown(looks: str) -> str:
    """Render the table from the log of all looks."""
    lines = [
        "# One thing at a time",
        "",
        "Trainings of `alexnet-edge` at 96x96 with 45,000 images each, from the weights of one training on 179,000 "
        "drawn images alone, which differ from the first row in one thing (`benchmarks/ablations.py`); accuracy with "
        "95% interval (Wilson). Differences within the intervals, or within what another seed makes, are no finding. "
        "The weights they start from saw the whole recipe, so that a row without a part of it still inherits some, and "
        "the other seed starts there too.",
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
