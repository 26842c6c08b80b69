"""Export the run folder of a landmark training, calibrated on the people that validated it, and evaluate it as shipped.

    python -m pretrained.landmarks.release_candidate RUN DATA CACHE --out FILE.onnx [--figures FILE.json] [--name NAME]
    python -m pretrained.landmarks.release_candidate RUN DATA --release --out FILE.onnx

RUN is what `run_folder` wrote. Temperature and threshold are chosen by the exported model's own probabilities, zoom
pass included, on the validation signers of CACHE (see `people_calibration`); no development set has a say in them. Then
the file is evaluated on the development sets, which adds a line to the log.

`--release`, after that, makes the file that ships: with its figures by source and with docs/model-card.md as its card.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.evaluation import calibration
from asl_edge.evaluation.multi_source import evaluate_sources
from asl_edge.evaluation.report_files import write_multi_source_report
from asl_edge.export.export import export_run
from asl_edge.files import atomic
from asl_edge.imaging.preprocess import Image
from asl_edge.runtime.onnx_file.metadata import read_spec
from benchmarks.harness.report import argument_parser
from pretrained.dataset import is_augmented
from pretrained.evaluation_log import LOG, Entry, append, now
from pretrained.landmarks.augmentation import augment
from pretrained.landmarks.batches import BatchPlan, make_backgrounds
from pretrained.landmarks.dev_evaluation import BY_PERSON, SETS, Outcome, classify, evaluate_sets, log_figures
from pretrained.landmarks.image_cache import ImageCache
from pretrained.landmarks.people_calibration import TARGET, PeopleCalibration, choose
from pretrained.landmarks.sources import HELD_OUT_SOURCES, Selection, items
from pretrained.release import CARD, PRECISION, copy_into

MARGIN = 0.01
"""More than is promised: the threshold is chosen by few people."""
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
    return PeopleCalibration(temperature, choose(probabilities, labels, people, TARGET + MARGIN, fixed=1.0).threshold)


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


def release(run: Path, data: Path, out: Path) -> None:
    """Export a calibrated run with figures of every source and its card, as it ships.

    Args:
        run: the run folder, which `calibrated` has chosen temperature and threshold for.
        data: the folder of all sources.
        out: the `.onnx` file to write.
    """
    shutil.copyfile(CARD, run / "model-card.md")  # which export embeds
    with tempfile.TemporaryDirectory() as work:
        draft = Path(work) / "draft.onnx"
        export_run(run, draft, precision=PRECISION)
        sets = copy_sets(data, Path(work) / "images")
        reports = evaluate_sources(draft, list(sets), mirrored=True)
    shutil.rmtree(run / "evaluation", ignore_errors=True)
    write_multi_source_report(reports, run / "evaluation")
    export_run(run, out, precision=PRECISION)


def copy_sets(data: Path, folder: Path) -> list[Path]:
    """Copy every development set and what is held out into a folder each, with one folder per class; return them."""
    for name in ("dev-wall", "dev-rooms"):
        for path in sorted((data / name).rglob("*.*")):
            kind = ("-augmented" if is_augmented(path) else "-clean") if name == "dev-rooms" else ""
            copy_into(path, folder / f"{name}{kind}" / path.parent.name)
    for name in BY_PERSON:
        for path in sorted((data / name).rglob("*.*")):
            into = folder / name / path.parent.name
            into.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, into / f"{path.parent.parent.name}-{path.name}")
    for item in items(data, Selection(HELD_OUT_SOURCES, ())):
        if item.split == "held-out":
            copy_into(data / item.path, folder / f"{item.source}-held-out" / Path(item.path).parent.name)
    return sorted(folder.iterdir())


def main() -> None:
    """Calibrate, export, evaluate."""
    parser = argument_parser(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path, nargs="?")
    parser.add_argument("--release", action="store_true", help="of a run that is calibrated: write the file that ships")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--figures", type=Path, help="all figures as JSON")
    parser.add_argument("--name", default="landmarks-appearance")
    parser.add_argument("--sets", choices=SETS, nargs="+", default=list(SETS))
    parser.add_argument("--log", type=Path, default=LOG)
    options = parser.parse_args()
    if options.release:
        release(options.run, options.data, options.out)
        return
    if options.cache is None:
        parser.error("CACHE is missing, on whose validation signers the calibration is chosen")
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
