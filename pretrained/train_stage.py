"""Train for strangers' hands and look: on held-out blocks, on a source that was left out, on the two dev folders.

    python benchmarks/strangers.py DATA --name NAME [--size 128] [--drawn 300] [--leave-out SOURCE] [--look]
        [--only SOURCE ...] [--also FOLDER ...] [--last] [--network NETWORK] [--start-from NAME]
        [--set NAME=VALUE ...] [--work FOLDER]

DATA holds one folder a source of real images (kaggle, phone, phone-outdoor, studio, signer-r, signer-m, signer-l,
dev-wall, dev-rooms). `--drawn` adds so many drawn images a class. `--leave-out` trains without a source and tests on
it. `--last` validates on drawn hands alone: photographs that were for validation are trained on as well, and those for
the test stay the same. `--start-from` goes on from the weights of another run in `--work`, or of the model in the
`box`. `--look` looks at the dev folders, which nothing is ever trained on. Every look is a line in
benchmarks/results/model-in-the-box/looks.md: date, what was trained, figures with 95% intervals (Wilson). Arrays and
runs stay in `--work`; a run that stands there goes on or is only looked at.
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from asl_edge.data.synthetic.scene import Variety

RESULTS = Path(__file__).parent / "results" / "model-in-the-box"
SOURCES = {
    "kaggle": "kaggle/asl_alphabet_train",
    "phone": "phone",
    "phone-outdoor": "phone-outdoor",
    "studio": "studio",
    "signer-r": "signer-r",
    "signer-m": "signer-m",
    "signer-l": "signer-l",
}
MIRRORED = ("signer-r", "signer-m", "signer-l")
VARIETY = {
    "usual": Variety(),
    "wide": Variety(spread=1.8, left=0.2, cut_out=0.35),
    "wider": Variety(spread=1.8, left=0.2, cut_out=0.3, backlit=0.15, idle=0.65),
    "widest": Variety(spread=2.0, left=0.3, cut_out=0.25, backlit=0.2, idle=0.65),
    "rarer": Variety(spread=2.0, left=0.3, cut_out=0.25, backlit=0.2, idle=0.65, rare=0.3),
}
HEADER = (
    "# Every look at a dev folder or a source that was left out\n\n"
    "Accuracy of `best.keras` with 95% interval (Wilson), n images. `blocks`: frames of the training sources that "
    "the block split keeps for the test.\n\n"
    "| date | name | what | blocks kaggle | blocks phone | left out | dev-wall | dev-rooms, clean | dev-rooms, aug |\n"
    "|---|---|---|---:|---:|---:|---:|---:|---:|\n"
)


def main() -> None:
    """Train, look, and write the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--drawn", type=int, default=0, help="drawn images a class")
    parser.add_argument("--variety", choices=VARIETY, default="wider", help="how far the drawn hands differ")
    parser.add_argument("--leave-out", choices=SOURCES)
    parser.add_argument("--mirror", choices=SOURCES, nargs="*", default=list(MIRRORED), help="sources to mirror back")
    parser.add_argument("--only", choices=SOURCES, nargs="+", help="train on these sources of photographs alone")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="more folders of images to train on")
    parser.add_argument("--last", action="store_true", help="validate on drawn hands alone")
    parser.add_argument("--drawn-seed", type=int, default=1)
    parser.add_argument("--look", action="store_true", help="look at the dev folders")
    parser.add_argument("--recipe", default="strangers")
    parser.add_argument("--network", help="another network than the recipe's, such as alexnet with --size 224")
    parser.add_argument("--start-from", metavar="NAME", help="the run in --work whose weights training starts from")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    parser.add_argument("--work", type=Path, default=Path("strangers"))
    options = parser.parse_args()
    arrays = prepared(options)
    run = options.work / options.name
    if not (run / "results.json").is_file():
        words = [sys.executable, "-m", "asl_edge", "train", str(arrays), "--out", str(run), "--no-check"]
        begun = (run / "config.json").is_file()
        words += ["--resume"] if begun else ["--recipe", options.recipe, *sets(options.settings)]
        if options.network and not begun:
            words += ["--network", options.network]
        if options.start_from and not begun:
            start = ["--start-from", str(options.work / options.start_from)]
            words += ["--from-pretrained"] if options.start_from == "box" else start
        subprocess.run(words, check=True)
    figures = look(options, run, arrays)
    print(json.dumps(figures, indent=1))
    write_line(options, run, figures)


def sets(settings: list[str]) -> list[str]:
    """Return the choices as the command takes them."""
    return [word for setting in settings for word in ("--set", setting)]


def prepared(options: argparse.Namespace) -> Path:
    """Prepare the arrays, once for each size, left-out source and number of drawn images."""
    from asl_edge.data.prepare.prepare import PrepareConfig, prepare
    from asl_edge.data.prepare.split import SplitPlan

    names = [name for name in options.only or SOURCES if name != options.leave_out]
    folders = [options.data / SOURCES[name] for name in names]
    mirror = tuple(str(options.data / SOURCES[name]) for name in options.mirror if name in names)
    label = f"arrays-{options.size}"
    if set(options.mirror) != set(MIRRORED):
        label += f"-mirrored-{'-'.join(sorted(options.mirror))}"
    if options.only:
        label += f"-only-{'-'.join(options.only)}"
    if options.leave_out:
        label += f"-without-{options.leave_out}"
    if options.drawn:
        drawn = hands(options, options.drawn, options.drawn_seed)
        folders.append(drawn)
        label += f"-{drawn.name}"
    folders += options.also
    label += "".join(f"-{folder.name}" for folder in options.also)
    shares, validation = (0.82, 0.06, 0.12), []
    if options.last:  # these shares leave the very images for the test that those above leave
        shares, validation = (0.882, 0.0, 0.118), [hands(options, 40, 99)]
        folders += validation
        label += "-last"
    arrays: Path = options.work / label
    if not arrays.is_dir():
        plan = SplitPlan(fractions=shares)
        kept = tuple(map(str, validation))
        prepare(PrepareConfig(tuple(folders), arrays, size=options.size, split=plan, mirror=mirror, val_sources=kept))
    return arrays


def hands(options: argparse.Namespace, per_class: int, seed: int) -> Path:
    """Return the folder of so many drawn images a class; draw them where they are not there."""
    from asl_edge.data.synthetic import synthesize

    name = f"drawn-{per_class}-{options.variety}" + (f"-seed-{seed}" if seed != 1 else "")
    folder: Path = options.work / name
    if not folder.is_dir():
        variety = VARIETY[options.variety]
        synthesize(folder, per_class=per_class, clip_frames=1, seed=seed, size=options.size * 5 // 4, variety=variety)
    return folder


def look(options: argparse.Namespace, run: Path, arrays: Path) -> dict[str, list[int]]:
    """Return images read rightly and images, by what was looked at."""
    from asl_edge.evaluation.evaluate import evaluate
    from asl_edge.evaluation.report_files import write_report

    figures: dict[str, list[int]] = {}

    def count(name: str, report: Any, chosen: Any = lambda source: True) -> None:
        right = report.probabilities.argmax(axis=1) == report.labels
        mine = [bool(value) for value, source in zip(right, report.sources, strict=True) if chosen(source)]
        figures[name] = [sum(mine), len(mine)]
        if report.right_mirrored is not None:
            figures[f"{name}, mirrored"] = [report.right_mirrored, report.images]

    report = evaluate(run, arrays)
    for name in ("kaggle", "phone"):
        if name != options.leave_out and name in (options.only or SOURCES):
            count(f"blocks {name}", report, lambda source, name=name: f"/{SOURCES[name]}/" in source)
    if options.leave_out:
        folder = options.data / SOURCES[options.leave_out]
        if options.leave_out in options.mirror:  # as training would have seen it
            folder = unmirrored(folder, options.work / f"{options.leave_out}-unmirrored")
        left_out = evaluate(run, folder, mirrored=True)
        count("left out", left_out)
        write_report(left_out, run / "evaluation" / options.leave_out)  # what `asl-edge calibrate` reads
    if options.look:
        count("dev-wall", evaluate(run, options.data / "dev-wall", mirrored=True))
        rooms = evaluate(run, options.data / "dev-rooms")
        count("dev-rooms, clean", rooms, lambda source: not Path(source).name.startswith("aug_"))
        count("dev-rooms, aug", rooms, lambda source: Path(source).name.startswith("aug_"))
    return figures


def unmirrored(source: Path, folder: Path) -> Path:
    """Copy images to `folder`, turned left to right without loss; return it."""
    import cv2

    if not folder.is_dir():
        for path in sorted(source.rglob("*.jp*g")):
            target = (folder.with_name(f"{folder.name}.partial") / path.relative_to(source)).with_suffix(".png")
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), cv2.imread(str(path))[:, ::-1])
        folder.with_name(f"{folder.name}.partial").rename(folder)
    return folder


def write_line(options: argparse.Namespace, run: Path, figures: dict[str, list[int]]) -> None:
    """Add the line to the log."""
    from asl_edge.metrics import wilson_interval

    def cell(name: str) -> str:
        if name not in figures:
            return ""
        right, count = figures[name]
        low, high = wilson_interval(right, count)
        turned = figures.get(f"{name}, mirrored")
        also = f"; mirrored {turned[0] / turned[1]:.1%}" if turned else ""
        return f"{right / count:.1%} ({low:.1%}-{high:.1%}, n={count}){also}"

    RESULTS.mkdir(parents=True, exist_ok=True)
    log = RESULTS / "looks.md"
    config = json.loads((run / "config.json").read_text())
    what = f"{config['network']} {options.size}px, {config['recipe']}, {config['epochs']} epochs"
    what += f", {options.drawn} drawn a class ({options.variety})" if options.drawn else ", no drawn images"
    what += "".join(f", {folder.name}" for folder in options.also)
    what += f", mirrored: {', '.join(options.mirror)}" if set(options.mirror) != set(MIRRORED) else ""
    what += f", photographs of {', '.join(options.only)} alone" if options.only else ""
    what += ", validated on drawn hands alone" if options.last else ""
    what += f", without {options.leave_out}" if options.leave_out else ""
    what += f", from the weights of {options.start_from}" if options.start_from else ""
    what += f", {' '.join(options.settings)}" if options.settings else ""
    cells = [datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M"), options.name, what]
    columns = ("blocks kaggle", "blocks phone", "left out", "dev-wall", "dev-rooms, clean", "dev-rooms, aug")
    cells += [cell(name) for name in columns]
    before = log.read_text() if log.is_file() else HEADER
    log.write_text(before + f"| {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
