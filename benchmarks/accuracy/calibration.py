"""How far confidences can be believed on people whom training never saw.

    python benchmarks/calibration.py MODEL DATA [--out FOLDER]

MODEL is a calibrated `.onnx` file or `box`, DATA the folder of real images. The answers to `dev-wall` and the clean
images of `dev-rooms` are judged as the model gives them, at temperature 1, and with a calibration that is fitted on
the other of the two folders. (Other temperatures are applied to the model's answers; of a second look these are the
mean of two, so that this is not to the last digit what a model of that temperature would answer.) Writes
calibration.json and .md.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from machine import describe_machine

from asl_edge import metrics
from asl_edge.evaluation.calibration import Answers, calibrate
from asl_edge.evaluation.evaluate import evaluate
from asl_edge.runtime.onnx_file.metadata import read_spec
from asl_edge.runtime.pretrained import resolve

FOLDERS = ("dev-wall", "dev-rooms")


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "model-in-the-box")
    options = parser.parse_args()
    answers = {name: answered(options.model, options.data / name) for name in FOLDERS}
    spec = read_spec(Path(resolve(options.model)))
    rows: list[dict[str, Any]] = []
    for name, one in answers.items():
        other = next(folder for folder in FOLDERS if folder != name)
        fitted = calibrate([answers[other]])
        rows.append(judged(one, "no temperature", 1.0, None))
        rows.append(judged(one, "as shipped", spec.temperature, spec.reject_threshold))
        rows.append(judged(one, other, fitted.temperature, fitted.threshold))
    write(options.out, rows)


def answered(model: str, folder: Path) -> Answers:
    """Return the answers at temperature 1, without the images that were augmented."""
    report = evaluate(model, folder)
    uncalibrated = metrics.with_temperature(report.probabilities, 1 / report.temperature)
    clean = np.array([not Path(source).name.startswith("aug_") for source in report.sources])
    return Answers(folder.name, uncalibrated[clean], report.labels[clean])


def judged(answers: Answers, fitted_on: str, temperature: float, threshold: float | None) -> dict[str, Any]:
    """Return the figures of one folder at a temperature and a threshold."""
    tempered = metrics.with_temperature(answers.probabilities, temperature)
    given = tempered.max(axis=1) >= (threshold or 0.0)
    right = tempered.argmax(axis=1) == answers.labels
    return {
        "judged_on": answers.source,
        "fitted_on": fitted_on,
        "images": len(answers.labels),
        "temperature": temperature,
        "expected_calibration_error": metrics.expected_calibration_error(tempered, answers.labels),
        "mean_confidence": float(tempered.max(axis=1).mean()),
        "accuracy": float(right.mean()),
        "threshold": threshold,
        "answered": int(given.sum()),
        "answered_rightly": int((given & right).sum()),
    }


def write(out: Path, rows: list[dict[str, Any]]) -> None:
    """Write calibration.json and calibration.md."""
    out.mkdir(parents=True, exist_ok=True)
    values = {"machine": describe_machine(), "rows": rows}
    (out / "calibration.json").write_text(json.dumps(values, indent=2) + "\n")
    lines = [
        "# Calibration and reject on people whom training never saw\n",
        "Temperature and threshold (for 95% right when answered) fitted on one set of images, judged on another; "
        "`dev-rooms` without its augmented images. As shipped: the temperature from sources that trainings were made "
        "without, the threshold from both folders, with a margin of two points. ECE: expected calibration error "
        "over 15 bins. 95% intervals (Wilson).\n",
        "| judged on | fitted on | temperature | ECE | mean confidence | accuracy | threshold | answered | "
        "right when answered |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        if row["threshold"] is None:
            reject = ["none", "all", ""]
        else:
            reject = [f"{row['threshold']:.3f}", f"{row['answered'] / row['images']:.1%}", ""]
            if row["answered"]:
                low, high = metrics.wilson_interval(row["answered_rightly"], row["answered"])
                share = row["answered_rightly"] / row["answered"]
                reject[2] = f"{share:.1%} ({low:.1%}-{high:.1%}, n={row['answered']})"
        cells = [row["judged_on"], row["fitted_on"], f"{row['temperature']:.3f}"]
        cells += [f"{row['expected_calibration_error']:.3f}", f"{row['mean_confidence']:.3f}"]
        cells += [f"{row['accuracy']:.1%}", *reject]
        lines.append(f"| {' | '.join(cells)} |")
    (out / "calibration.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
