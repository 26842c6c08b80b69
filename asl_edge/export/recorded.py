"""What a run or an exported file records of a model beside its weights, read before anything is converted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from asl_edge.errors import ModelError, RunError, UserError
from asl_edge.evaluation.calibration import Calibration, read_calibration
from asl_edge.evaluation.source_metrics import read_source_metrics
from asl_edge.export.source.open_source import Source
from asl_edge.files.earlier_names import current_or_earlier
from asl_edge.runtime.landmark_zoom import LandmarkZoom
from asl_edge.runtime.spelling.spelling_spec import SpellingSpec
from asl_edge.runtime.zoom import BoxFinder, zoom_from_dict
from asl_edge.spec import LANDMARKS_NAME
from asl_edge.training.networks.alexnet_edge_landmarks import landmarks_of
from asl_edge.training.runs.folder import EARLIER_ZOOM_FILE, MODEL_CARD_FILE, SPELLING_FILE, ZOOM_FILE


@dataclass(frozen=True)
class Recorded:
    """What goes into the exported file along with the graph."""

    calibration: Calibration | None
    zoom: BoxFinder | None
    """How the hand is located for a zoom pass; None for a model without one."""
    card: str | None
    """The model card that a person put into the run, or that is in an exported file; None without one."""
    evaluation: dict[str, Any]
    """The figures of each source (see `read_source_metrics`)."""
    spelling: dict[str, Any]
    """The spelling spec of the run (`spelling.json`) or of the exported file; empty without one."""


def read_recorded(source: Source) -> Recorded:
    """Read all that is recorded of a model.

    Raises:
        RunError, ModelError, UserError: a file of the run or a part of the exported file is damaged.
    """
    if source.run is not None:
        evaluation = read_source_metrics(source.run.path)
    else:
        evaluation = {} if source.own_spec is None else source.own_spec.evaluation
    return Recorded(_calibration(source), _zoom(source), _card(source), evaluation, _spelling(source))


def _calibration(source: Source) -> Calibration | None:
    """Return the calibration of a run or of an exported file; None without one."""
    if source.run is not None:
        return read_calibration(source.run.path)
    spec = source.own_spec
    if spec is None or not spec.calibration:
        return None
    curve, values = spec.reject_curve, {"temperature": spec.temperature, "threshold": spec.reject_threshold}
    try:
        return Calibration.from_dict({**spec.calibration, **values, "curve": curve})
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"The calibration in {source.path} is damaged ({error}). Export its run instead.") from error


def _zoom(source: Source) -> BoxFinder | None:
    """Return how a run or an exported file finds the hand for the zoom pass; None without a zoom pass."""
    zoom, finds_landmarks = _recorded_zoom(source), landmarks_of(source.model) is not None
    if zoom is None and source.run is None and source.own_spec is None and finds_landmarks:
        return LandmarkZoom()  # a file alone, which has no place to record one
    if zoom is not None and LANDMARKS_NAME in zoom.outputs and not finds_landmarks:
        raise ModelError(
            f"The zoom pass of {source.path} needs a network that finds landmarks, such as one that was started from a "
            "landmark-supervised alexnet-edge-8-landmarks. Remove zoom.json from the run folder."
        )
    return zoom


def _recorded_zoom(source: Source) -> BoxFinder | None:
    if source.run is None:
        return None if source.own_spec is None or not source.own_spec.zoom else zoom_from_dict(source.own_spec.zoom)
    path = current_or_earlier(source.run.path / ZOOM_FILE, EARLIER_ZOOM_FILE)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read ({error}). Fix or delete the file.") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} does not hold a JSON object. Fix or delete the file.")
    return zoom_from_dict(values)


def _spelling(source: Source) -> dict[str, Any]:
    """Return the spelling spec of a run or of an exported file as values of JSON; empty without one."""
    if source.run is None:
        return {} if source.own_spec is None else source.own_spec.spelling
    path = source.run.path / SPELLING_FILE
    return SpellingSpec.load(path).to_dict() if path.exists() else {}


def _card(source: Source) -> str | None:
    """Return the model card that a person put into the run, or that is in an exported file; None without one."""
    if source.run is None:
        return source.own_card
    path = source.run.path / MODEL_CARD_FILE
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text ({error}). Fix or delete the file.") from error
