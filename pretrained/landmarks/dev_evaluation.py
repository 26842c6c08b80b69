"""Evaluate a network on the development sets: by person, by letter, in one pass and with a second one on the hand.

    python -m pretrained.landmarks.dev_evaluation DATA [--model FILE.onnx | --weights FILE.weights.h5]
        [--cache WORK/landmark-cache] [--name NAME] [--log FILE] [--sets dev-webcam ...] [--out FILE.json]

`--model` is an exported file, evaluated as a device runs it, with its zoom pass; without it and without `--weights`
that is the pretrained model. Every evaluation is a look at images that choices are made by: it becomes a line of the
log.

What is written of each set: accuracy, with an interval by bootstrap over people where there are several; the mean over
people and the worst of them; the letters that are missed most; expected calibration error; coverage at 97% selective
accuracy, the threshold being the best in hindsight.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.files import atomic
from asl_edge.imaging.preprocess import Image, decode, opencv, read_file, to_square
from asl_edge.labels import CLASSES, canonical
from asl_edge.metrics import Floats, expected_calibration_error, softmax, with_temperature
from asl_edge.runtime.hand_landmarks import bounding_squares
from asl_edge.runtime.landmark_zoom import LandmarkZoom
from benchmarks.harness.report import argument_parser
from pretrained.dataset import is_augmented
from pretrained.evaluation_log import LOG, Entry, Figure, append, now
from pretrained.landmarks.network.architecture import CLASSIFICATIONS
from pretrained.landmarks.people_calibration import PeopleCalibration, choose, per_person
from pretrained.landmarks.sources import HELD_OUT_SOURCES, Selection, items

if TYPE_CHECKING:
    import keras

SETS = ("dev-wall", "dev-rooms", "dev-webcam", "dev-frames", "held-out")
BY_PERSON = ("dev-webcam", "dev-frames")
MEAN_OVER_PEOPLE = "dev-webcam"
"""The set that is logged as a mean over people; in `dev-frames` most of its people have a handful of images."""
CROP_MARGIN = LandmarkZoom.margin
"""Side of the second pass's crop in spans of the hand, that of the crops in `signers`."""
SECOND_SHARE = LandmarkZoom.share
"""Weight of the second pass."""
SELECTIVE = 0.97
_LEAST_CROP = 24
"""Smallest side of a crop in pixels."""


@dataclass(frozen=True)
class DevSet:
    """Labelled images of people that no training has seen."""

    name: str
    images: list[Image]
    labels: npt.NDArray[np.int64]
    people: npt.NDArray[np.str_]


@dataclass(frozen=True)
class Outcome:
    """What a network says about the images of a set: probabilities by kind of evaluation."""

    probabilities: Mapping[str, Floats]


def read_set(data: Path, name: str) -> list[DevSet]:
    """Return a development set; `held-out` is one set per source."""
    if name == "held-out":
        held = [item for item in items(data, Selection(HELD_OUT_SOURCES, ())) if item.split == "held-out"]
        return [
            _decoded(
                f"{source}, held out", [(data / one.path, one.label, source) for one in held if one.source == source]
            )
            for source in HELD_OUT_SOURCES
        ]
    return [_decoded({"dev-rooms": "dev-rooms, clean"}.get(name, name), _listed(data, name))]


def set_paths(data: Path, name: str) -> list[str]:
    """Return the paths below `data` of the images of a set other than `held-out`, in the order of `read_set`."""
    return [path.relative_to(data).as_posix() for path, _, _ in _listed(data, name)]


def _listed(data: Path, name: str) -> list[tuple[Path, int, str]]:
    listed = []
    people = sorted((data / name).iterdir()) if name in BY_PERSON else [data / name]
    for person in people:
        for folder in sorted(path for path in person.iterdir() if path.is_dir()):
            label = canonical(folder.name)
            if label is None:
                continue
            for path in sorted(folder.iterdir()):
                if not is_augmented(path):
                    listed.append((path, CLASSES.index(label), person.name))
    return listed


def _decoded(name: str, listed: list[tuple[Path, int, str]]) -> DevSet:
    images = [decode(read_file(path)) for path, _, _ in listed]
    labels = np.array([label for _, label, _ in listed])
    return DevSet(name, images, labels, np.array([person for _, _, person in listed]))


Infer = Callable[[npt.NDArray[np.uint8]], Mapping[str, npt.NDArray[Any]]]


def evaluate_network(infer: Infer, images: list[Image], size: int) -> Outcome:
    """Classify images in one pass, and with a second pass on the hand.

    Args:
        infer: uint8 (N, size, size, 3) to the network's outputs.
        images: uint8 RGB (H, W, 3), each of its own shape.
        size: side of the network's input.

    Returns:
        By kind: each of `CLASSIFICATIONS` on the centre square in one pass; `whole`, `fused` on the whole frame with
        bars; `two`, both passes, the first on the whole frame; `second`, the second pass alone. The second pass sees
        the crop mirrored: its errors are then less those of the first pass (on the signers that validate the second
        training the log loss of `two` is 0.183 instead of 0.193).
    """
    centre = infer(np.stack([to_square(image, size) for image in images]))
    found = {kind: softmax(np.asarray(centre[kind], np.float32)) for kind in CLASSIFICATIONS}
    square = [image.shape[0] == image.shape[1] for image in images]
    whole = centre if all(square) else infer(np.stack([to_square(image, size, "pad") for image in images]))
    found["whole"] = softmax(np.asarray(whole["fused"], np.float32))
    crops = [crop_of(image, points, size) for image, points in zip(images, whole["landmarks"], strict=True)]
    mirrored = np.ascontiguousarray(np.stack(crops)[:, :, ::-1])
    second = softmax(np.asarray(infer(mirrored)["fused"], np.float32))
    found["second"] = second
    found["two"] = SECOND_SHARE * second + (1 - SECOND_SHARE) * found["whole"]
    return Outcome(found)


def crop_of(image: Image, points: Floats, size: int, margin: float = CROP_MARGIN) -> Image:
    """Return the square around a hand that was found in the whole frame, uint8 (size, size, 3).

    Args:
        image: uint8 (H, W, 3).
        points: (21, 3), shares of the side of the padded square.
        size: side of the result.
        margin: side of the crop in spans of the hand. Beyond the image its edge is repeated.
    """
    cv2 = opencv()
    height, width = image.shape[:2]
    side = max(height, width)
    offset = np.array([(side - width) / 2, (side - height) / 2], np.float32)
    left, top, extent = bounding_squares(points[None, :, :2] * side - offset, margin)[0]
    extent = float(np.clip(extent, _LEAST_CROP, side))
    scale = size / extent
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]], np.float32)
    if scale < 0.6:
        image, matrix[:, :2] = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), matrix[:, :2] * 2
    return np.asarray(cv2.warpAffine(image, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE))


def describe(
    labels: npt.NDArray[np.int64], people: npt.NDArray[np.str_], probabilities: Floats, threshold: float | None = None
) -> dict[str, Any]:
    """Return the figures of one set (see the module's description); `threshold` adds what it accepts, by person."""
    hits = probabilities.argmax(axis=1) == labels
    names = np.unique(people)
    by_person = {str(name): float(hits[people == name].mean()) for name in names}
    figures: dict[str, Any] = {"images": len(hits), "accuracy": float(hits.mean())}
    if len(names) > 1:
        values = np.array(list(by_person.values()))
        draws = np.random.default_rng(1).integers(0, len(values), (4000, len(values)))
        low, high = np.percentile(values[draws].mean(axis=1), (2.5, 97.5))
        figures |= {"mean": float(values.mean()), "worst": float(values.min()), "by_person": by_person}
        figures |= {"low": float(low), "high": float(high)}
    else:
        figure = Figure.counted(int(hits.sum()), len(hits))
        figures |= {"low": figure.low, "high": figure.high}
    letters = {CLASSES[label]: float(hits[labels == label].mean()) for label in np.unique(labels)}
    figures["weakest"] = dict(sorted(letters.items(), key=lambda pair: pair[1])[:8])
    figures["ece"] = expected_calibration_error(probabilities, labels)
    figures["coverage"] = coverage_at(probabilities, hits, SELECTIVE)
    if threshold is not None:
        kept = per_person(probabilities, labels, people, threshold)
        known = [share for _, share in kept.values() if share is not None]
        figures["accepted"] = {
            "threshold": threshold,
            "coverage": float(np.mean([coverage for coverage, _ in kept.values()])),
            "selective_accuracy": float(np.mean(known)) if known else None,
            "people_at_target": f"{sum(share >= SELECTIVE for share in known)} of {len(known)}",
        }
    return figures


def coverage_at(probabilities: Floats, hits: npt.NDArray[np.bool_], target: float) -> float:
    """Return the largest share of images that can be accepted, by confidence, at a selective accuracy."""
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    selective = np.cumsum(hits[order]) / np.arange(1, len(hits) + 1)
    enough = np.flatnonzero(selective >= target)
    return float((enough[-1] + 1) / len(hits)) if len(enough) else 0.0


def network_infer(network: keras.Model) -> Infer:
    """Return a function that runs a network in batches."""

    def infer(images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[Any]]:
        return dict(network.predict(images, batch_size=64, verbose=0))

    return infer


def file_outcome(model: Path | None, images: list[Image]) -> Outcome:
    """Classify with an exported file, None for the pretrained model, with its zoom pass and without."""
    return Outcome({"zoom": classify(model, images), "one pass": classify(model, images, zoom=False)})


def classify(model: Path | None, images: list[Image], *, zoom: bool = True) -> Floats:
    """Return the probabilities of an exported file as a device runs it, float32 (N, classes)."""
    from asl_edge.runtime.predictor import Predictor

    with Predictor(model, zoom=zoom) as predictor:
        parts = []
        for at in range(0, len(images), 64):
            ready = [to_square(image, predictor.image_size, predictor.image_fit) for image in images[at : at + 64]]
            parts.append(predictor.probabilities(np.stack(ready)))
    return np.concatenate(parts)


def evaluate_sets(
    data: Path, names: list[str], outcome_of: Callable[[list[Image]], Outcome], threshold: float | None = None
) -> dict[str, Any]:
    """Return the figures by set and kind of evaluation; print a line for each."""
    results: dict[str, Any] = {}
    for name in names:
        for one in read_set(data, name):
            outcome = outcome_of(one.images)
            results[one.name] = {}
            for kind, values in outcome.probabilities.items():
                figures = describe(one.labels, one.people, values, threshold)
                results[one.name][kind] = figures
                people = f", people {figures['mean']:.1%} worst {figures['worst']:.1%}" if "mean" in figures else ""
                weakest = " ".join(f"{letter} {share:.0%}" for letter, share in figures["weakest"].items())
                print(
                    f"{one.name:18} {kind:10} {figures['accuracy']:.1%}{people} [{figures['low']:.1%}-"
                    f"{figures['high']:.1%}], ECE {figures['ece']:.3f}, coverage {figures['coverage']:.1%}; {weakest}"
                    f" {figures.get('accepted', '')}",
                    flush=True,
                )
    return results


def log_figures(results: Mapping[str, Any], kind: str) -> dict[str, Figure]:
    """Return the figures of one kind by key of `evaluation_log.COLUMNS`."""
    figures = {}
    for name, kinds in results.items():
        one = kinds[kind]
        if name == MEAN_OVER_PEOPLE:
            figures[f"{name}, mean over people"] = Figure(one["mean"], one["low"], one["high"], one["images"])
            figures[f"{name}, worst person"] = Figure(one["worst"])
        else:
            figures[name] = Figure.counted(round(one["accuracy"] * one["images"]), one["images"])
    return {name: figure.rounded() for name, figure in figures.items()}


def main() -> None:
    """Evaluate and log."""
    parser = argument_parser(__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, help="averaged weights of a landmark-supervised training")
    parser.add_argument("--model", type=Path, help="an exported file")
    parser.add_argument("--name", default="box", help="of the line in the log")
    parser.add_argument("--about", default="", help="what was evaluated, in words")
    parser.add_argument("--sets", choices=SETS, nargs="+", default=list(SETS))
    parser.add_argument("--cache", type=Path, help="image cache, on whose validation people the model is calibrated")
    parser.add_argument("--log", type=Path, default=LOG)
    parser.add_argument("--out", type=Path, help="all figures as JSON")
    options = parser.parse_args()
    outcome_of, threshold = chosen_outcome(options)
    results = evaluate_sets(options.data, options.sets, outcome_of, threshold)
    if options.out:
        atomic.write_json(options.out, results)
    for kind in ("zoom",) if options.weights is None else ("appearance", "fused", "two"):
        append(
            options.log,
            Entry(now(), f"{options.name}, {kind}", options.about, "", log_figures(results, kind)),
        )
    print(json.dumps({name: list(kinds) for name, kinds in results.items()}))


def calibrated_on(infer: Infer, cache: Path, size: int) -> PeopleCalibration:
    """Return temperature and threshold of both passes, chosen on the people that validate a training."""
    from pretrained.landmarks.image_cache import ImageCache

    stored = ImageCache.open(cache)
    rows = np.concatenate([stored.rows("validation", (name,)) for name in ("signers", "signers-wide")])
    images = [np.array(stored.image(row)) for row in rows]
    both = evaluate_network(infer, images, size).probabilities["two"]
    chosen = choose(both, stored.labels[rows].astype(int), stored.people[rows])
    print(f"temperature {chosen.temperature:.3f}, threshold {chosen.threshold}, on {len(rows)} images", flush=True)
    return chosen


def chosen_outcome(options: argparse.Namespace) -> tuple[Callable[[list[Image]], Outcome], float | None]:
    """Return what classifies images, a network's weights or the pretrained model, and its threshold."""
    if options.weights is None:
        return partial(file_outcome, options.model), None
    from pretrained.landmarks.network.architecture import build
    from pretrained.landmarks.network.weights_file import read_weights

    network = build()
    read_weights(network, options.weights)
    infer = network_infer(network)
    chosen = PeopleCalibration(1.0, None)
    if options.cache:
        chosen = calibrated_on(infer, options.cache, network.input_shape[1])

    def outcome_of(images: list[Image]) -> Outcome:
        found = evaluate_network(infer, images, network.input_shape[1]).probabilities
        return Outcome({kind: with_temperature(values, chosen.temperature) for kind, values in found.items()})

    return outcome_of, chosen.threshold


if __name__ == "__main__":
    main()
