"""Calibration and reject threshold on people whom training never saw.

    python -m benchmarks.accuracy.calibration MODEL DATA

MODEL is a calibrated `.onnx` file or `pretrained`, DATA the folder of real images. The probabilities for `dev-wall` and
for the clean images of `dev-rooms` are judged as the model gives them, at temperature 1, and with a calibration that is
fitted on the other of the two folders. (Other temperatures are applied to the model's probabilities; where a zoom pass
took part, these are the mean of two passes, so a model with that temperature would differ in the last digits.) Writes
results/accuracy/calibration.{json,md}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from asl_edge import metrics
from asl_edge.evaluation.calibration import SourcePredictions, calibrate
from asl_edge.evaluation.evaluate import evaluate
from asl_edge.runtime.onnx_file.metadata import read_spec
from asl_edge.runtime.pretrained import resolve
from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import accuracy_cell, argument_parser, markdown_table, page, write_result

FOLDERS = ("dev-wall", "dev-rooms")


def main() -> None:
    """Measure and write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    predictions = {name: predicted(options.model, options.data / name) for name in FOLDERS}
    spec = read_spec(Path(resolve(options.model)))
    rows: list[dict[str, Any]] = []
    for name, one in predictions.items():
        other = next(folder for folder in FOLDERS if folder != name)
        fitted = calibrate([predictions[other]])
        rows.append(judged(one, "no temperature", 1.0, None))
        rows.append(judged(one, "as shipped", spec.temperature, spec.reject_threshold))
        rows.append(judged(one, other, fitted.temperature, fitted.threshold))
    values = {"machine": describe_machine(), "rows": rows}
    write_result("accuracy/calibration", values, markdown(values))


def predicted(model: str, folder: Path) -> SourcePredictions:
    """Return the probabilities at temperature 1, without the images that were augmented."""
    report = evaluate(model, folder)
    uncalibrated = metrics.with_temperature(report.probabilities, 1 / report.temperature)
    clean = np.array([not Path(source).name.startswith("aug_") for source in report.sources])
    return SourcePredictions(folder.name, uncalibrated[clean], report.labels[clean])


def judged(
    predictions: SourcePredictions, fitted_on: str, temperature: float, threshold: float | None
) -> dict[str, Any]:
    """Return the figures of one folder at a temperature and a threshold."""
    tempered = metrics.with_temperature(predictions.probabilities, temperature)
    accepted = tempered.max(axis=1) >= (threshold or 0.0)
    correct = tempered.argmax(axis=1) == predictions.labels
    return {
        "judged_on": predictions.source,
        "fitted_on": fitted_on,
        "images": len(predictions.labels),
        "temperature": temperature,
        "expected_calibration_error": metrics.expected_calibration_error(tempered, predictions.labels),
        "mean_confidence": float(tempered.max(axis=1).mean()),
        "accuracy": float(correct.mean()),
        "threshold": threshold,
        "accepted": int(accepted.sum()),
        "accepted_correct": int((accepted & correct).sum()),
    }


def markdown(values: dict[str, Any]) -> str:
    """Return the results as a page."""
    head = ["judged on", "fitted on", "temperature", "ECE", "mean confidence", "accuracy", "threshold", "coverage"]
    table = []
    for row in values["rows"]:
        reject = ["none", "100%", ""]
        if row["threshold"] is not None:
            reject = [f"{row['threshold']:.3f}", f"{row['accepted'] / row['images']:.1%}", ""]
            if row["accepted"]:
                reject[2] = accuracy_cell(row["accepted_correct"], row["accepted"])
        cells = [row["judged_on"], row["fitted_on"], f"{row['temperature']:.3f}"]
        cells += [f"{row['expected_calibration_error']:.3f}", f"{row['mean_confidence']:.3f}"]
        table.append([*cells, f"{row['accuracy']:.1%}", *reject])
    return page(
        "# Calibration and reject threshold on unseen signers",
        "",
        "Temperature and threshold (for a selective accuracy of 95%) are fitted on one set of images and judged on "
        "another; `dev-rooms` without its augmented images. As shipped: temperature and threshold from six webcam "
        "signers that training never saw. ECE: expected calibration error "
        "over 15 bins. 95% intervals (Wilson).",
        "",
        *markdown_table([*head, "selective accuracy"], table, "ll" + "r" * 7),
        "",
        machine_line(values["machine"]),
    )


if __name__ == "__main__":
    main()
