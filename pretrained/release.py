"""Make the file of the pretrained model: threshold, figures of each source and model card.

    python -m pretrained.release RUN DATA ARRAYS --temperature temperature.json --out FILE.onnx [--about WORDS]
        [--target 0.95] [--margin 0.02]
    python -m pretrained.release --card-only FILE.onnx

RUN has a zoom.json if a zoom pass was kept (`interpolate_weights.py` fits it); docs/model-card.md becomes the card of
the file. The temperature is what `pretrained.experiments.leave_one_source_out` wrote. The threshold is chosen by the
exported model's own predictions, zoom pass included, for `dev-wall` and for the clean and the augmented images of
`dev-rooms`, so that the target accuracy is reached in each with a margin: for people on whom nothing was chosen less is
to be expected. The figures in the file are of these, and of the frames of `kaggle` and `phone` that ARRAYS keeps for
the test. `--card-only` embeds docs/model-card.md into a file when the card alone has changed.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from asl_edge.evaluation import calibration
from asl_edge.evaluation.evaluate import evaluate
from asl_edge.evaluation.multi_source import evaluate_sources
from asl_edge.evaluation.report_files import write_multi_source_report
from asl_edge.export.export import ExportResult, export_run
from asl_edge.export.graph.weight_alignment import aligned
from asl_edge.files import atomic
from asl_edge.spec import CARD_KEY
from benchmarks.harness.report import REPOSITORY, argument_parser
from pretrained.dataset import SOURCES, is_augmented, source_of

CARD = REPOSITORY / "docs" / "model-card.md"
PRECISION = "fp16-weights"
HELD_OUT = ("kaggle", "phone")
"""Sources of which some frames are kept for the test."""
THRESHOLD_SETS = ("dev-wall", "dev-rooms-clean", "dev-rooms-augmented")
"""What the threshold is chosen on."""


@dataclass(frozen=True)
class Promise:
    """What the reject threshold is chosen for."""

    target: float = 0.95
    """Selective accuracy."""
    margin: float = 0.02
    """Beyond the target, on the images that the threshold is chosen on."""
    about: str = ""
    """The images that the calibration was fitted on, in words."""


def release(
    run: Path,
    data: Path,
    arrays: Path,
    temperature: float,
    out: Path,
    promise: Promise | None = None,
    *,
    precision: str = PRECISION,
) -> ExportResult:
    """Calibrate, evaluate and export a run.

    Args:
        run: the run folder; its calibration and evaluation are replaced.
        data: the folder of all sources.
        arrays: the arrays that the run was trained on.
        temperature: of the probabilities.
        out: the `.onnx` file to write.
        promise: what the threshold is chosen for.
        precision: of the file (see `asl_edge.export.build.build`).

    Raises:
        DataError: a development set is missing or too small.
    """
    promise = promise or Promise()
    shutil.copyfile(CARD, run / "model-card.md")  # which export embeds
    with tempfile.TemporaryDirectory() as work:
        sets = copy_evaluation_sets(data, arrays, Path(work) / "images")
        draft = Path(work) / "draft.onnx"
        plain = calibration.Calibration(temperature, None, promise.target, None, None, (), (), promise.about)
        calibration.write_calibration(run, plain)
        export_run(run, draft, precision=precision)
        chosen = choose_threshold(draft, {name: sets[name] for name in THRESHOLD_SETS}, promise)
        calibration.write_calibration(run, replace(chosen, temperature=temperature, target=promise.target))
        export_run(run, draft, precision=precision)
        reports = evaluate_sources(draft, list(sets.values()), mirrored=True)
        shutil.rmtree(run / "evaluation", ignore_errors=True)
        write_multi_source_report(reports, run / "evaluation")
    for name, report in zip(reports.names, reports.reports, strict=True):
        print(f"{name}: {report.images} images, {report.accuracy:.1%}, mirrored {report.accuracy_mirrored or 0:.1%}")
    return export_run(run, out, precision=precision)


def choose_threshold(model: Path, sets: dict[str, Path], promise: Promise) -> calibration.Calibration:
    """Return the calibration of the model's own probabilities, whose threshold keeps the target in every set."""
    predictions = []
    for name, folder in sets.items():
        report = evaluate(model, folder)
        predictions.append(calibration.SourcePredictions(name, report.probabilities, report.labels))
    target = promise.target + promise.margin
    return calibration.calibrate(predictions, temperature=1.0, target=target, every_source=True, about=promise.about)


def copy_evaluation_sets(data: Path, arrays: Path, folder: Path) -> dict[str, Path]:
    """Copy the images of each set into a folder of its own; return the folders by name."""
    shutil.copytree(data / "dev-wall", folder / "dev-wall")
    for path in sorted((data / "dev-rooms").rglob("*.jp*g")):
        kind = "augmented" if is_augmented(path) else "clean"
        copy_into(path, folder / f"dev-rooms-{kind}" / path.parent.name)
    manifest = json.loads((arrays / "manifest.json").read_text())
    rows = manifest["rows"]["test"]
    for number, name in zip(rows["folder"], rows["name"], strict=True):
        source_number, class_folder = manifest["folders"][number]
        source = source_of(manifest["sources"][source_number]["path"])
        if source in HELD_OUT:
            copy_into(data / SOURCES[source] / class_folder / name, folder / f"{source}-held-out" / class_folder)
    names: Sequence[str] = [*(f"{source}-held-out" for source in HELD_OUT), *THRESHOLD_SETS]
    return {name: folder / name for name in names}


def copy_into(path: Path, folder: Path) -> None:
    """Copy an image into a folder, which is created."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, folder / path.name)


def embed_card(model: Path, card: Path = CARD) -> None:
    """Write a card into an exported file; of the rest only the offsets of the weights change, still aligned."""
    loaded = onnx.load(model)
    metadata = {entry.key: entry.value for entry in loaded.metadata_props}
    onnx.helper.set_model_props(loaded, metadata | {CARD_KEY: card.read_text(encoding="utf-8")})
    atomic.write_bytes(model, aligned(loaded.SerializeToString()))


def read_temperature(path: Path) -> float:
    """Return the temperature of a file that `leave_one_source_out` wrote.

    Raises:
        ValueError: the file holds no temperature.
    """
    value = json.loads(path.read_text()).get("temperature")
    if not isinstance(value, float) or not 0 < value < math.inf:
        raise ValueError(f"{path} holds no temperature. Run `python -m pretrained.experiments.leave_one_source_out`.")
    return value


def main() -> None:
    """Release a run, or embed the card."""
    parser = argument_parser(__doc__)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("arrays", type=Path, nargs="?")
    parser.add_argument("--temperature", type=Path, help="file that leave_one_source_out wrote")
    parser.add_argument("--about", default="")
    parser.add_argument("--target", type=float, default=0.95)
    parser.add_argument("--margin", type=float, default=0.02, help="beyond the target, on these images")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--card-only", type=Path, metavar="FILE", help="embed docs/model-card.md into this file")
    options = parser.parse_args()
    if options.card_only:
        embed_card(options.card_only)
        return
    if not (options.run and options.data and options.arrays and options.temperature and options.out):
        parser.error("name RUN, DATA, ARRAYS, --temperature and --out, or --card-only")
    promise = Promise(options.target, options.margin, options.about)
    temperature = read_temperature(options.temperature)
    result = release(options.run, options.data, options.arrays, temperature, options.out, promise)
    print(result.spec.reject_threshold, result.model_path)


if __name__ == "__main__":
    main()
