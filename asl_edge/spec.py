"""ModelSpec: the contract inside the `.onnx` file, so that the file alone is enough to predict correctly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from asl_edge.errors import ModelError, UserError
from asl_edge.files.earlier_names import with_current_names
from asl_edge.files.strict_json import parse_json
from asl_edge.process.printable import spreadsheet_cell

if TYPE_CHECKING:
    from typing import TypeGuard

METADATA_KEY = "asl_edge.spec"
"""The key of the ONNX metadata entry that holds the spec as JSON."""

SPEC_VERSION = 1

INPUT_NAME = "image"
OUTPUT_NAME = "probabilities"
FEATURES_NAME = "features"
"""The second output, if there is one: the input of the last layer, float32 (N, F)."""

MAPS_NAME = "class_maps"
"""A further output of models with a zoom pass: the logits at each place, float32 (N, C, rows, columns)."""

LANDMARKS_NAME = "landmarks"
"""A further output of models that find the hand: float32 (N, 21, 3), the points of `asl_edge.runtime.hand_landmarks`.
x and y are shares of the side of the image that the network sees, from its left and its top; z is depth, away from the
camera, in the same unit."""
HAND_NAME = "hand"
"""Goes with `landmarks`: float32 (N, 2), the probabilities that there is a hand, and that it is a left one."""

CARD_KEY = "asl_edge.model_card"
"""The key of the ONNX metadata entry that holds a model card as Markdown, if somebody wrote one."""

Fit = Literal["crop", "stretch", "pad"]
"""How an image becomes square: its centre, stretched, or padded with black."""
Colour = Literal["RGB", "BGR"]


LARGEST_INPUT = 1024
"""Largest side of the input in pixels, as for `asl-edge data prepare`."""
MOST_FEATURES = 2**16
MOST_CLASSES = 1000
LANDMARKS = 21

_MOST = 2**31
_LONGEST = 1000
_LONGEST_CLASS = 64
_TEXTS = ("network", "precision")
"""Texts that a spec cannot do without."""


def check_fit(fit: object, name: str = "fit", error: type[UserError] = ModelError) -> None:
    """Check that `fit` is one of the ways in which an image becomes square.

    Args:
        fit: the value to check.
        name: what the message calls it.
        error: the exception to raise.

    Raises:
        UserError: it is not, as the class `error`.
    """
    if fit not in get_args(Fit):
        raise error(f"{name} must be crop, stretch or pad. Received: {_shown(fit)}")


def is_class_name(name: object) -> bool:
    """Whether a text can name a class: printable, 1 to 64 characters, without spaces around it, not like a formula.

    Names are printed in terminals, drawn on images and written into tables, so they must not do anything there.
    """
    return (
        isinstance(name, str)
        and 0 < len(name) <= _LONGEST_CLASS
        and name.isprintable()
        and name == name.strip()
        and spreadsheet_cell(name) == name
    )


def _check_classes(names: object) -> None:
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise ModelError(f"classes must be a tuple of names. Received: {_shown(names)}")
    if not 2 <= len(names) <= MOST_CLASSES or len(set(names)) != len(names):
        raise ModelError(
            f"A spec needs two or more different classes, {MOST_CLASSES} at most. Received: {_shown(names)}"
        )
    for name in names:
        if not is_class_name(name):
            raise ModelError(
                f"The name of a class must be 1 to {_LONGEST_CLASS} printable characters, without spaces around them, "
                f"and not a formula like =1+1. Received: {_shown(name)}"
            )


def _check_whole(name: str, value: object, most: int, rule: str = "a positive whole number", *, least: int = 1) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ModelError(f"{name} must be {rule}, {most} at most. Received: {_shown(value)}")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    """Return a value for a message: in one line, and short."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


@dataclass(frozen=True)
class ModelSpec:
    """What a device must know to turn an image into a letter with one model file.

    Raises:
        ModelError: on construction, when a field breaks its rule.
    """

    classes: tuple[str, ...]
    """Class names in the order of the output columns."""
    input_size: int
    """Side of the square input image, in pixels."""
    fit: Fit = "crop"
    """How an image becomes square: centre `crop`, `stretch` or `pad` with black."""
    colour: Colour = "RGB"
    """Order of the input's channels."""
    preprocess_version: int = 1
    """Version of `asl_edge.imaging.preprocess` that prepared the training images."""
    network: str = "alexnet"
    """Name of the network in the registry."""
    precision: str = "fp32"
    """How the weights are stored: fp32, fp16, fp16-weights (stored in half, computed in float32), int8."""
    features: int | None = None
    """Number of features in the graph's second output; None if it has no such output."""
    landmarks: int | None = None
    """Number of points in the graph's output `landmarks`, 21; None if it has no such output."""
    temperature: float = 1.0
    """Calibration temperature, already applied inside the graph."""
    reject_threshold: float | None = None
    """Confidence below which the answer is "not sure"; None accepts every prediction."""
    reject_curve: tuple[tuple[float, float, float], ...] = ()
    """(threshold, coverage, selective accuracy), as measured when the model was calibrated."""
    calibration: dict[str, Any] = field(default_factory=dict)
    """How temperature and threshold were chosen (see `asl_edge.evaluation.calibration`)."""
    zoom: dict[str, Any] = field(default_factory=dict)
    """How the zoom pass finds the hand (see `asl_edge.runtime.zoom`); empty for models without one."""
    spelling: dict[str, Any] = field(default_factory=dict)
    """How the probabilities of frames become text (see `asl_edge.runtime.spelling.spelling_spec`); empty for the
    defaults."""
    evaluation: dict[str, Any] = field(default_factory=dict)
    """Metrics on each source, as `asl-edge evaluate` with several sources wrote them into the run folder."""
    trained_on: dict[str, Any] = field(default_factory=dict)
    """Sources, split and number of images that the network was trained on."""
    parity: dict[str, Any] = field(default_factory=dict)
    """Measured agreement with the Keras model (see `asl_edge.export.parity`)."""
    quantization: dict[str, Any] = field(default_factory=dict)
    """How INT8 was made (see `asl_edge.export.int8.mixed_precision_search`); empty for other precisions."""
    weights_sha256: str | None = None
    """SHA-256 of the trained float32 weights, the same for every precision; adaptations are made for them."""
    made_with: dict[str, str] = field(default_factory=dict)
    """Versions of the packages that made the file."""
    spec_version: int = SPEC_VERSION

    def __post_init__(self) -> None:
        """Check every field."""
        _check_classes(self.classes)
        _check_whole("input_size", self.input_size, LARGEST_INPUT, "a positive whole number of pixels")
        check_fit(self.fit)
        if self.colour not in ("RGB", "BGR"):
            raise ModelError(f"colour must be RGB or BGR. Received: {self.colour!r}")
        _check_whole("preprocess_version", self.preprocess_version, _MOST, least=0)
        _check_whole("spec_version", self.spec_version, _MOST)
        for name in ("network", "precision", "weights_sha256"):
            value = getattr(self, name)
            if not (isinstance(value, str) and len(value) <= _LONGEST) and not (value is None and name not in _TEXTS):
                raise ModelError(f"{name} must be a text of at most {_LONGEST} characters. Received: {_shown(value)}")
        if not _is_number(self.temperature) or not 0 < self.temperature < math.inf:
            raise ModelError(f"temperature must be a number above 0. Received: {_shown(self.temperature)}")
        threshold = self.reject_threshold
        if threshold is not None and not (_is_number(threshold) and 0 <= threshold <= 1):
            raise ModelError(f"reject_threshold must be between 0 and 1. Received: {_shown(threshold)}")
        if self.features is not None:
            _check_whole("features", self.features, MOST_FEATURES)
        if self.landmarks is not None and (self.landmarks != LANDMARKS or isinstance(self.landmarks, bool)):
            raise ModelError(f"landmarks must be {LANDMARKS}, or null. Received: {_shown(self.landmarks)}")
        for name in (
            "calibration",
            "zoom",
            "spelling",
            "evaluation",
            "trained_on",
            "parity",
            "quantization",
            "made_with",
        ):
            if not isinstance(getattr(self, name), dict):
                raise ModelError(f"{name} must be an object. Received: {_shown(getattr(self, name))}")
        if self.zoom and self.features is None:
            raise ModelError("zoom must be an object, and the model must output its features. Export the model again.")
        self._check_reject_curve()

    def _check_reject_curve(self) -> None:
        points = self.reject_curve
        if not isinstance(points, tuple) or not all(
            isinstance(point, tuple)
            and len(point) == 3
            and all(_is_number(value) and 0 <= value <= 1 for value in point)
            for point in points
        ):
            raise ModelError("reject_curve must hold (threshold, coverage, accuracy), each between 0 and 1.")

    def to_json(self) -> str:
        """Return the spec as one JSON object."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)

    def to_metadata(self) -> dict[str, str]:
        """Return the ONNX metadata entries that hold this spec."""
        return {METADATA_KEY: self.to_json()}

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read a spec from JSON; fields that a newer asl-edge added are ignored.

        Raises:
            ModelError: the text is not a spec, or of a spec version that this asl-edge does not know.
        """
        try:
            values = with_current_names(parse_json(text))
        except ValueError as error:
            raise ModelError(f"The model's spec is not JSON that can be used ({error}). Export it again.") from error
        if not isinstance(values, dict) or "classes" not in values or "input_size" not in values:
            raise ModelError("The model's spec lacks its classes or input size. Export the model again.")
        version = values.get("spec_version", 1)
        if not isinstance(version, int) or version > SPEC_VERSION:
            raise ModelError(
                f"The model's spec has version {_shown(version)}, this asl-edge knows {SPEC_VERSION}. Upgrade asl-edge."
            )
        known = {item.name for item in fields(cls)}
        values = {name: value for name, value in values.items() if name in known}
        if isinstance(values["classes"], list):
            values["classes"] = tuple(values["classes"])
        try:
            values["reject_curve"] = tuple(tuple(point) for point in values.get("reject_curve") or ())
        except TypeError as error:
            raise ModelError("The model's reject_curve is not a list of points. Export the model again.") from error
        return cls(**values)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> ModelSpec:
        """Read the spec from a model's ONNX metadata.

        Raises:
            ModelError: the metadata holds no spec, or one that cannot be used.
        """
        if METADATA_KEY not in metadata:
            raise ModelError(
                "The model carries no asl-edge spec (classes, input size). Make it with `asl-edge export`."
            )
        return cls.from_json(metadata[METADATA_KEY])
