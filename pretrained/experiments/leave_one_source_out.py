"""How well a hand is read whose images training did not have: the recipe without each source in turn.

    python benchmarks/leave_out.py DATA ARRAYS --work WORK [--only SOURCE ...] [--epochs 12] [--per-class 600]

Smaller trainings than the model in the box: 96x96 pixels, from the weights of one on drawn hands alone
(`ablations.py`), with photographs, drawn hands and hands put before other backgrounds (`composites.py`, whose ARRAYS
are wanted), all without the source that is left out and read afterwards, and mirrored. A temperature is fitted to all
these answers. Writes leave-out.md and .json into results/model-in-the-box; every look is a line in looks.md. What
stands in WORK is not trained again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from ablations import RESULTS, draw_and_train
from machine import describe_machine, machine_line

from asl_edge.evaluation.calibration import Answers, calibrate
from asl_edge.evaluation.predictions_file import read_predictions
from asl_edge.metrics import wilson_interval

HERE = Path(__file__).resolve().parent
NETWORK = "alexnet-edge-8"
LEFT_OUT = ("kaggle", "phone", "studio", "signer-r", "signer-m", "signer-l")


def main() -> None:
    """Train, look, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--work", type=Path, default=Path("strangers"))
    parser.add_argument("--only", nargs="+", choices=LEFT_OUT, default=LEFT_OUT)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--per-class", type=int, default=600, help="hands before other backgrounds")
    options = parser.parse_args()
    start = draw_and_train(options.work, NETWORK)
    for source in options.only:
        train_without(source, start, options)
    done = [source for source in LEFT_OUT if report_of(source, options.work).is_file()]
    answers = [answered(source, options.work) for source in done]
    fitted = calibrate(answers)
    rows = []
    for source, figures in zip(done, fitted.sources, strict=True):
        report = json.loads(report_of(source, options.work).read_text())
        rows.append({"source": source, "images": report["images"], "right": report["right"],
                     "right_mirrored": report["right_mirrored"], "ece_before": figures.ece_before,
                     "ece_after": figures.ece_after})  # fmt: skip
    values = {"temperature": fitted.temperature, "rows": rows, "machine": describe_machine()}
    (RESULTS / "leave-out.json").write_text(json.dumps(values, indent=1) + "\n")
    (RESULTS / "leave-out.md").write_text(markdown(values, options))


def train_without(source: str, start: str, options: argparse.Namespace) -> None:
    """Train without a source, and answer it."""
    work = options.work
    if report_of(source, work).is_file():
        return
    hands = work / f"hands-without-{source}"
    if not hands.is_dir():
        words = [str(HERE / "composites.py"), str(options.data), str(options.arrays), "--out", str(hands)]
        words += ["--per-class", str(options.per_class), "--without", source, "--hands", str(work / "hands.npz")]
        subprocess.run([sys.executable, *words], check=True)
    words = [str(HERE / "strangers.py"), str(options.data), "--name", f"left-out-{source}", "--size", "96"]
    words += ["--drawn", "500", "--variety", "rarer", "--leave-out", source, "--also", str(hands)]
    words += ["--start-from", start, "--network", NETWORK, "--work", str(work)]
    chosen = (f"epochs={options.epochs}", "steps_per_epoch=140", "ema_momentum=0.995", "source_exponent=0.42")
    subprocess.run([sys.executable, *words, *(word for choice in chosen for word in ("--set", choice))], check=True)


def report_of(source: str, work: Path) -> Path:
    """Return where the figures of a source stand that was left out."""
    return work / f"left-out-{source}" / "evaluation" / source / "report.json"


def answered(source: str, work: Path) -> Answers:
    """Return the answers to a source that was left out."""
    read = read_predictions(report_of(source, work).with_name("predictions.csv"))
    return Answers(source, read.uncalibrated(), read.labels)


def markdown(values: dict[str, Any], options: argparse.Namespace) -> str:
    """Render the table."""
    seen = options.epochs * 140 * 64
    lines = [
        "# Each source left out of a training, and read afterwards", "",
        f"Trainings of `{NETWORK}` at 96x96 with {seen:,} images each, from weights that had seen 179,000 drawn "
        "hands and no photograph. ECE: of these answers as they are, and at the temperature that is fitted to all of "
        "them, every source counting alike. 95% intervals (Wilson).", "",
        "| left out | images | accuracy | mirrored | ECE | at the temperature |", "|---|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for row in values["rows"]:
        count = row["images"]
        low, high = wilson_interval(row["right"], count)
        lines.append(
            f"| `{row['source']}` | {count:,} | {row['right'] / count:.1%} ({low:.1%}-{high:.1%}) "
            f"| {row['right_mirrored'] / count:.1%} | {row['ece_before']:.3f} | {row['ece_after']:.3f} |"
        )
    lines += ["", f"Temperature {values['temperature']:.3f}.", "", machine_line(values["machine"]), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
