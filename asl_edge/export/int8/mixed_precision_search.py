"""Mixed precision: which layers INT8 has to leave in float32, so that enough labels agree with the float32 model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.export.graph.logits import Outputs, onnx_outputs
from asl_edge.export.graph.macs import macs_per_image
from asl_edge.export.int8.equalization import equalize
from asl_edge.export.int8.gptq import round_layers
from asl_edge.export.int8.quantize import QuantizationConfig, calibrate, chosen_nodes, heavy_nodes, to_int8
from asl_edge.export.parity import CLEAR_MARGIN, margins

if TYPE_CHECKING:
    import onnx

REQUIRED_AGREEMENT = 0.99
"""Label agreement that every export has to reach: the lowest target."""
DEFAULT_AGREEMENT = 0.995
"""Target label agreement of INT8 with float32 by default."""
_HEADROOM = 1.25
"""Headroom to try first if too many labels change: on unseen images, activations can exceed the calibrated ranges (by
a quarter for AlexNet, see benchmarks/results/speed/precisions-alexnet.md)."""


@dataclass(frozen=True)
class QuantizationReport:
    """How an INT8 graph was made."""

    target: str
    method: str
    calibration_images: int
    calibrated_on: str
    """Where the calibration images came from, in words."""
    label_agreement: float
    """With the float32 graph, over the images of the comparison."""
    wanted_agreement: float
    """The target of the search."""
    weight_limit: int
    """Largest absolute value of an integer weight: up to 64, every processor computes the sums exactly."""
    clear_agreement: float | None
    """With the float32 graph, over images unlike training whose top two probabilities differ by more than 0.2; None if
    none were given, or none is clear."""
    layers: int
    """Number of heavy layers, in INT8 or not."""
    headroom: float
    """Factor by which activation ranges exceed those of the calibration images."""
    float_layers: tuple[str, ...]
    """Layers that stayed in float32: those of the configuration, then those of the search in its order."""
    sensitivity: dict[str, float]
    """Layer -> its error contribution: the error of the logits with only this layer in INT8, root mean square relative
    to that of the logits. Empty if no search was needed."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {**asdict(self), "float_layers": list(self.float_layers)}


def quantize_measured(
    model: onnx.ModelProto,
    calibration: npt.NDArray[np.uint8],
    images: npt.NDArray[np.uint8],
    config: QuantizationConfig | None = None,
    *,
    unlike: npt.NDArray[np.uint8] | None = None,
    target_agreement: float = DEFAULT_AGREEMENT,
    calibrated_on: str = "",
    on_step: Callable[[str], None] | None = None,
) -> tuple[onnx.ModelProto, QuantizationReport]:
    """Quantise a float32 graph; if too many labels change, return layers to float32 one by one.

    Wider activation ranges are tried first. Then layers return to float32, those with the largest error contribution
    per multiply-accumulate first, so that large convolutions stay in INT8; if that does not reach the target, those
    with the largest error contribution first. A layer's error contribution is measured on the calibration images with
    only that layer in INT8; agreement is measured on `images` and on the clear images of `unlike`. Finally, layers that
    turn out not to be needed in float32 become INT8 again, the largest first.

    Args:
        model: as `asl_edge.export.passes.optimize.optimize` leaves it; not changed.
        calibration: uint8 (N, S, S, 3), training images.
        images: uint8 (M, S, S, 3), to measure label agreement on.
        config: target, method and layers to keep in float32 in any case.
        unlike: uint8 (K, S, S, 3), images unlike those of training. Those whose top two probabilities differ by more
            than 0.2 must reach the same agreement, except for one image.
        target_agreement: share of labels that must agree with float32; the search ends there, or when only one layer
            is left in INT8.
        calibrated_on: where the calibration images came from, in words.
        on_step: called with a sentence on each step of the search.

    Returns:
        The INT8 graph and how it was made.

    Raises:
        ModelError: the network has no layer that can be quantised.
    """
    config = config or QuantizationConfig()
    trial = _Trial(model, calibration, (images, unlike), config, on_step or (lambda _: None))
    graph, agreement = trial.attempt(config)
    if agreement.least < target_agreement and config.headroom == 1:
        wider = replace(config, headroom=_HEADROOM)
        candidate, widened = trial.attempt(wider)
        trial.say(f"{agreement} of the labels agree; {widened} with ranges {_HEADROOM:g} times as wide")
        if widened.least > agreement.least:
            graph, agreement, config = candidate, widened, wider
    in_float: list[str] = []
    errors: dict[str, float] = {}
    if agreement.least < target_agreement and len(trial.layers) > 1:
        trial.say(f"{agreement} of the labels agree; searching for layers to keep in float32")
        errors = trial.error_contributions(config)
        graph, agreement, in_float = _search(trial, config, errors, target_agreement)
    report = QuantizationReport(
        target=config.target,
        method=config.method,
        calibration_images=len(calibration),
        calibrated_on=calibrated_on,
        label_agreement=agreement.labels,
        wanted_agreement=target_agreement,
        weight_limit=config.weight_limit,
        clear_agreement=agreement.clear,
        layers=len(heavy_nodes(model)),
        headroom=config.headroom,
        float_layers=(*config.keep_float, *in_float),
        sensitivity=errors,
    )
    return graph, report


class _Agreement(NamedTuple):
    """Label agreement with the float32 graph."""

    labels: float
    """Share over the images of the comparison."""
    clear: float | None
    """Share over the clear images unlike training; None if there is none."""
    clear_images: int

    @property
    def least(self) -> float:
        """The share that the search has to raise. One clear image may change: of a few hundred, it is a large share."""
        return self.labels if self.clear is None else min(self.labels, self.clear + 1 / self.clear_images)

    def __str__(self) -> str:
        return f"{self.labels:.2%}" if self.clear is None else f"{self.labels:.2%} ({self.clear:.2%} unlike training)"


class _Trial:
    """A float32 graph, equalised, calibrated and rounded once, to try any choice of INT8 layers.

    Args:
        model: float32; not changed.
        calibration: uint8 (N, S, S, 3), training images.
        compared: images to measure agreement on, and images unlike training or None.
        config: target, method and layers to keep in float32 in any case.
        say: called with a sentence on each step.

    Raises:
        UserError: `config` names an unknown layer.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        calibration: npt.NDArray[np.uint8],
        compared: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8] | None],
        config: QuantizationConfig,
        say: Callable[[str], object],
    ) -> None:
        self.layers = chosen_nodes(model, config)
        self.model = equalize(model, self.layers, calibration)
        self.calibration, self.say = calibration, say
        self.images, unlike = compared
        self.ranges = calibrate(self.model, calibration)
        self.rounded = round_layers(self.model, self.layers, calibration, config.weight_limit)
        self.expected = onnx_outputs(model, self.images).logits.argmax(axis=1)
        self.clear = self.clear_expected = None
        if unlike is not None and len(unlike):
            outputs = onnx_outputs(model, unlike)
            rows = margins(outputs.probabilities) > CLEAR_MARGIN
            if rows.any():
                self.clear, self.clear_expected = unlike[rows], outputs.logits[rows].argmax(axis=1)

    def attempt(self, config: QuantizationConfig, also_float: Sequence[str] = ()) -> tuple[onnx.ModelProto, _Agreement]:
        """Return the graph with further layers in float32, and its agreement."""
        graph = self.graph(config, also_float)
        same = self._labels(graph, self.images) == self.expected
        if self.clear is None:
            return graph, _Agreement(float(same.mean()), None, 0)
        clear = self._labels(graph, self.clear) == self.clear_expected
        return graph, _Agreement(float(same.mean()), float(clear.mean()), len(clear))

    @staticmethod
    def _labels(graph: onnx.ModelProto, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        return np.asarray(onnx_outputs(graph, images, "int8").logits.argmax(axis=1))

    def graph(self, config: QuantizationConfig, also_float: Sequence[str]) -> onnx.ModelProto:
        """Return the graph in INT8, except for the layers that `config` keeps in float32 and further ones."""
        chosen = replace(config, keep_float=(*config.keep_float, *also_float))
        return to_int8(self.model, self.ranges, chosen, self.rounded)

    def error_contributions(self, config: QuantizationConfig) -> dict[str, float]:
        """Return for each layer the error of the calibration images' logits with only that layer in INT8."""
        reference = onnx_outputs(self.model, self.calibration)
        errors = {}
        for name in self.layers:
            alone = self.graph(config, [layer for layer in self.layers if layer != name])
            errors[name] = _relative_error(reference, onnx_outputs(alone, self.calibration, "int8"))
        return errors


def _search(
    trial: _Trial, config: QuantizationConfig, errors: dict[str, float], target_agreement: float
) -> tuple[onnx.ModelProto, _Agreement, list[str]]:
    """Return a graph that reaches the target or has a single INT8 layer, its agreement, and its float32 layers."""
    macs = macs_per_image(trial.model)
    # First by error per multiply-accumulate, so that large convolutions stay in INT8 the longest; if such a one causes
    # the error, by error alone.
    by_macs = sorted(trial.layers, key=lambda layer: -errors[layer] / max(macs.get(layer, 1), 1))
    for order in (by_macs, sorted(trial.layers, key=lambda layer: -errors[layer])):
        in_float: list[str] = []
        for name in order[:-1]:
            in_float.append(name)
            graph, agreement = trial.attempt(config, in_float)
            trial.say(f"{agreement} with {', '.join(in_float)} in float32")
            if agreement.least >= target_agreement:
                return _with_fewer(trial, config, (graph, agreement, in_float), macs, target_agreement)
    return graph, agreement, in_float


def _with_fewer(
    trial: _Trial,
    config: QuantizationConfig,
    result: tuple[onnx.ModelProto, _Agreement, list[str]],
    macs: dict[str, int],
    target_agreement: float,
) -> tuple[onnx.ModelProto, _Agreement, list[str]]:
    """Return layers to INT8 that need not be in float32, the largest first; the last one of the search is needed."""
    for name in sorted(result[2][:-1], key=lambda layer: -macs.get(layer, 0)):
        fewer = [layer for layer in result[2] if layer != name]
        graph, agreement = trial.attempt(config, fewer)
        if agreement.least >= target_agreement:
            result = graph, agreement, fewer
            trial.say(f"{agreement} with {name} in INT8 again")
    return result


def _relative_error(reference: Outputs, quantised: Outputs) -> float:
    """Return the error of the logits, root mean square relative to that of the reference's."""
    difference = quantised.logits.astype(np.float64) - reference.logits
    size = np.sqrt((reference.logits.astype(np.float64) ** 2).mean())
    return float(np.sqrt((difference**2).mean()) / max(size, np.finfo(np.float32).tiny))
