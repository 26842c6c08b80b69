"""Export the run folder of a landmark training, calibrated on the people that validated it, and evaluate it as shipped.

    python -m pretrained.landmarks.release_candidate RUN DATA CACHE --out FILE.onnx [--figures FILE.json] [--name NAME]

RUN is what `run_folder` wrote. Temperature and threshold are chosen by the exported model's own probabilities, zoom
pass included, on the validation signers of CACHE (see `people_calibration`); no development set has a say in them. Then
the file is evaluated on the development sets, which adds a line to the log.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.evaluation import calibration
from asl_edge.export.export import export_run
from asl_edge.files import atomic
from asl_edge.imaging.preprocess import Image
from asl_edge.runtime.onnx_file.metadata import read_spec
from benchmarks.harness.report import argument_parser
from pretrained.evaluation_log import LOG, Entry, append, now
from pretrained.landmarks.augmentation import augment
from pretrained.landmarks.batches import BatchPlan, make_backgrounds
from pretrained.landmarks.dev_evaluation import SETS, Outcome, classify, evaluate_sets, log_figures
from pretrained.landmarks.image_cache import ImageCache
from pretrained.landmarks.people_calibration import TARGET, PeopleCalibration, choose
from pretrained.release import PRECISION

_ROOMS = 200
_ABOUT = "webcam signers left out of training; 97% for nine of ten people"


def calibrated(run: Path, cache: ImageCache, work: Path) -> PeopleCalibration:
    """Choose temperature, then threshold, by what the exported file itself says about the validation signers.

    Half of the images are changed as in training, see `changed`.
    """
    rows = np.concatenate([cache.rows("validation", (name,)) for name in ("signers", "signers-wide")])
    images = [np.array(cache.image(row)) for row in rows] + changed(cache, rows)
    labels: npt.NDArray[Any] = np.tile(cache.labels[rows].astype(int), 2)
    people = np.tile(cache.people[rows], 2)
    draft = work / "draft.onnx"
    write(run, PeopleCalibration(1.0, None))
    export_run(run, draft, precision=PRECISION)
    temperature = choose(classify(draft, images), labels, people).temperature
    write(run, PeopleCalibration(temperature, None))
    export_run(run, draft, precision=PRECISION)
    probabilities = classify(draft, images)
    return PeopleCalibration(temperature, choose(probabilities, labels, people, fixed=1.0).threshold)


def changed(cache: ImageCache, rows: npt.NDArray[np.intp]) -> list[Image]:
    """Return the images in other light and other places, as training changes them.

    The validation signers sat before a webcam as those of the training did. What a user shows a model is less like its
    training, and confidences that hold for these images alone would be too high for it.
    """
    rooms = make_backgrounds(cache, _ROOMS)
    size, how = BatchPlan().size, BatchPlan().augmentation
    images = []
    for row in rows:
        known = cache.points[row] if cache.found[row] else None
        images.append(augment(np.random.default_rng([17, int(row)]), cache.image(row), known, rooms, size, how).image)
    return images


def write(run: Path, chosen: PeopleCalibration) -> None:
    """Write the calibration into the run folder, where export finds it."""
    plain = calibration.Calibration(chosen.temperature, chosen.threshold, TARGET, None, None, (), (), _ABOUT)
    calibration.write_calibration(run, plain)


def main() -> None:
    """Calibrate, export, evaluate."""
    parser = argument_parser(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--figures", type=Path, help="all figures as JSON")
    parser.add_argument("--name", default="landmarks-appearance")
    parser.add_argument("--sets", choices=SETS, nargs="+", default=list(SETS))
    parser.add_argument("--log", type=Path, default=LOG)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        chosen = calibrated(options.run, ImageCache.open(options.cache), Path(work))
    print(f"temperature {chosen.temperature:.3f}, threshold {chosen.threshold}", flush=True)
    write(options.run, chosen)
    export_run(options.run, options.out, precision=PRECISION)

    def outcome_of(images: list[Image]) -> Outcome:
        return Outcome({"zoom": classify(options.out, images)})

    results = evaluate_sets(options.data, options.sets, outcome_of, chosen.threshold)
    if options.figures:
        atomic.write_json(options.figures, results)
    about = f"{read_spec(options.out).network} of a landmark training, as exported, with its zoom pass"
    append(options.log, Entry(now(), options.name, about, "", log_figures(results, "zoom")))


if __name__ == "__main__":
    main()
