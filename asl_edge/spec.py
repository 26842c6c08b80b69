"""ModelSpec: the contract inside the `.onnx` file, so that the file alone is enough to predict correctly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from asl_edge.errors import ModelError, UserError
from asl_edge.files.earlier_names import with_current_names

METADATA_KEY = "asl_edge.spec"
"""The key of the ONNX metadata entry that holds the spec as JSON."""

SPEC_VERSION = 1

INPUT_NAME = "image"
OUTPUT_NAME = "probabilities"
FEATURES_NAME = "features"
"""The second output, if there is one: the input of the last layer, float32 (N, F)."""

MAPS_NAME = "class_maps"
"""A further output of models with a zoom pass: the logits at each place, float32 (N, C, rows, columns)."""

CARD_KEY = "asl_edge.model_card"
"""The key of the ONNX metadata entry that holds a model card as Markdown, if somebody wrote one."""

Fit = Literal["crop", "stretch", "pad"]
"""How an image becomes square: its centre, stretched, or padded with black."""
Colour = Literal["RGB", "BGR"]


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
        raise error(f"{name} must be crop, stretch or pad. Received: {fit}")


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
        names = self.classes
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise ModelError(f"classes must be a tuple of names. Received: {names!r}")
        if len(names) < 2 or len(set(names)) != len(names):
            raise ModelError(f"A spec needs two or more different classes. Received: {list(names)}")
        if not isinstance(self.input_size, int) or isinstance(self.input_size, bool) or self.input_size < 1:
            raise ModelError(f"input_size must be a positive whole number of pixels. Received: {self.input_size!r}")
        check_fit(self.fit)
        if self.colour not in ("RGB", "BGR"):
            raise ModelError(f"colour must be RGB or BGR. Received: {self.colour!r}")
        if not isinstance(self.temperature, int | float) or not 0 < self.temperature < math.inf:
            raise ModelError(f"temperature must be a number above 0. Received: {self.temperature!r}")
        threshold = self.reject_threshold
        if threshold is not None and not (isinstance(threshold, int | float) and 0 <= threshold <= 1):
            raise ModelError(f"reject_threshold must be between 0 and 1. Received: {self.reject_threshold!r}")

        if self.features is not None and (not isinstance(self.features, int) or self.features < 1):
            raise ModelError(f"features must be a positive whole number. Received: {self.features!r}")
        if not isinstance(self.zoom, dict) or (self.zoom and self.features is None):
            raise ModelError("zoom must be an object, and the model must output its features. Export the model again.")
        shares = [value for point in self.reject_curve for value in point]
        if not all(isinstance(value, int | float) and 0 <= value <= 1 for value in shares) or any(
            len(point) != 3 for point in self.reject_curve
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
            values = with_current_names(json.loads(text))
        except ValueError as error:
            raise ModelError(f"The model's spec is not JSON ({error}). Export the model again.") from error
        if not isinstance(values, dict) or "classes" not in values or "input_size" not in values:
            raise ModelError("The model's spec lacks its classes or input size. Export the model again.")
        version = values.get("spec_version", 1)
        if not isinstance(version, int) or version > SPEC_VERSION:
            raise ModelError(
                f"The model's spec has version {version}, this asl-edge knows {SPEC_VERSION}. Upgrade asl-edge."
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
