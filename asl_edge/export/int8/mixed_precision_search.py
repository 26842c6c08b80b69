"""INT8 that is measured: which layers stay in float so that enough answers stay."""

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

WANTED_AGREEMENT = 0.99
"""Share of labels that every export keeps."""
DEFAULT_AGREEMENT = 0.995
"""Share of labels that INT8 keeps where nothing else is asked for."""
_HEADROOM = 1.25
"""What is tried where too many labels change: a network that knows its training images well is surprised by others
(activations of AlexNet in benchmarks/results/speed/precisions-alexnet.md went a quarter beyond)."""


@dataclass(frozen=True)
class QuantizationReport:
    """How an INT8 graph came about."""

    target: str
    method: str
    calibration_images: int
    calibrated_on: str
    """Where the calibration images came from, in words."""
    label_agreement: float
    """With the float32 graph, over the images of the comparison."""
    wanted_agreement: float
    weight_limit: int
    """The largest whole number among the weights of INT8: up to 64, every processor sums exactly."""
    clear_agreement: float | None
    """With the float32 graph, over images unlike training whose top two probabilities differ by more than 0.2; None
    where none were given, or none is clear."""
    layers: int
    """Heavy layers that could be quantised."""
    headroom: float
    """How much wider ranges are than the calibration images asked for."""
    float_layers: tuple[str, ...]
    """Those that stayed in float32, in the order in which the search took them."""
    sensitivity: dict[str, float]
    """Layer -> what INT8 in it alone adds to the logits, root mean square as a share of that of the logits; empty
    where no search was needed."""

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
    wanted: float = DEFAULT_AGREEMENT,
    calibrated_on: str = "",
    on_step: Callable[[str], None] | None = None,
) -> tuple[onnx.ModelProto, QuantizationReport]:
    """Quantise a float32 graph; where too many labels change, give layers back to float32, one after the other.

    Wider ranges for the activations are tried first. Then go the layers that harm most for the arithmetic that they
    save; where that does not lead there, those that harm most. What a layer harms is measured on the calibration
    images, with that layer alone in INT8; when to stop, on `images` and on the clear images of `unlike`.
    Layers that turn out not to have been the fault go back to INT8 in the end, the largest first.

    Args:
        model: as `asl_edge.export.passes.optimize.optimize` leaves it; not changed.
        calibration: uint8 (N, S, S, 3), of training.
        images: uint8 (M, S, S, 3), to count labels on.
        config: target, method and what stays in float32 in any case.
        unlike: uint8 (K, S, S, 3), unlike those of training: of the images among them whose top two probabilities
            differ by more than 0.2, as many labels must stay, but for one.
        wanted: share of labels that must stay; the search ends there, or when one layer is left in INT8.
        calibrated_on: where the calibration images came from, in words.
        on_step: called with a sentence on each step of the search.

    Raises:
        ModelError: the network has no layer that could be quantised.
    """
    config = config or QuantizationConfig()
    trial = _Trial(model, calibration, (images, unlike), config, on_step or (lambda _: None))
    graph, agreement = trial.attempt(config)
    if agreement.least < wanted and config.headroom == 1:
        wider = replace(config, headroom=_HEADROOM)
        candidate, kept = trial.attempt(wider)
        trial.say(f"{agreement} of the labels stay; {kept} with ranges {_HEADROOM:g} times as wide")
        if kept.least > agreement.least:
            graph, agreement, config = candidate, kept, wider
    taken: list[str] = []
    harm: dict[str, float] = {}
    if agreement.least < wanted and len(trial.layers) > 1:
        trial.say(f"{agreement} of the labels stay; searching for layers to leave in float32")
        harm = trial.harm(config)
        graph, agreement, taken = _search(trial, config, harm, wanted)
    report = QuantizationReport(
        target=config.target,
        method=config.method,
        calibration_images=len(calibration),
        calibrated_on=calibrated_on,
        label_agreement=agreement.labels,
        wanted_agreement=wanted,
        weight_limit=config.weight_limit,
        clear_agreement=agreement.clear,
        layers=len(heavy_nodes(model)),
        headroom=config.headroom,
        float_layers=(*config.keep_float, *taken),
        sensitivity=harm,
    )
    return graph, report


class _Agreement(NamedTuple):
    """How many labels stay."""

    labels: float
    """Share over the images of the comparison."""
    clear: float | None
    """Share over the clear images unlike training; None where there is none."""
    clear_images: int

    @property
    def least(self) -> float:
        """What the search goes by. One clear image may change, since of a few hundred it is more than the share."""
        return self.labels if self.clear is None else min(self.labels, self.clear + 1 / self.clear_images)

    def __str__(self) -> str:
        return f"{self.labels:.2%}" if self.clear is None else f"{self.labels:.2%} ({self.clear:.2%} unlike training)"


class _Trial:
    """A float32 graph, made ready once, of which any layers are set in INT8 and the labels counted."""

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
            sure = onnx_outputs(model, unlike)
            rows = margins(sure.probabilities) > CLEAR_MARGIN
            if rows.any():
                self.clear, self.clear_expected = unlike[rows], sure.logits[rows].argmax(axis=1)

    def attempt(self, config: QuantizationConfig, also_float: Sequence[str] = ()) -> tuple[onnx.ModelProto, _Agreement]:
        """Return the graph with further layers in float32, and how many labels stay."""
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
        """Return the graph in INT8, but for what `config` keeps and for further layers."""
        chosen = replace(config, keep_float=(*config.keep_float, *also_float))
        return to_int8(self.model, self.ranges, chosen, self.rounded)

    def harm(self, config: QuantizationConfig) -> dict[str, float]:
        """Return what each layer alone in INT8 adds to the logits of the calibration images."""
        reference = onnx_outputs(self.model, self.calibration)
        found = {}
        for name in self.layers:
            alone = self.graph(config, [layer for layer in self.layers if layer != name])
            found[name] = _harm(reference, onnx_outputs(alone, self.calibration, "int8"))
        return found


def _search(
    trial: _Trial, config: QuantizationConfig, harm: dict[str, float], wanted: float
) -> tuple[onnx.ModelProto, _Agreement, list[str]]:
    """Return a graph in which enough labels stay, or one layer alone is in INT8; its agreement; layers in float32."""
    work = macs_per_image(trial.model)
    # First what harms most for the arithmetic that it saves, so that a large convolution is given up last; where that
    # one is the fault itself, what harms most.
    by_arithmetic = sorted(trial.layers, key=lambda layer: -harm[layer] / max(work.get(layer, 1), 1))
    for order in (by_arithmetic, sorted(trial.layers, key=lambda layer: -harm[layer])):
        taken: list[str] = []
        for name in order[:-1]:
            taken.append(name)
            graph, agreement = trial.attempt(config, taken)
            trial.say(f"{agreement} with {', '.join(taken)} in float32")
            if agreement.least >= wanted:
                return _with_fewer(trial, config, (graph, agreement, taken), work, wanted)
    return graph, agreement, taken


def _with_fewer(
    trial: _Trial,
    config: QuantizationConfig,
    found: tuple[onnx.ModelProto, _Agreement, list[str]],
    work: dict[str, int],
    wanted: float,
) -> tuple[onnx.ModelProto, _Agreement, list[str]]:
    """Give layers back to INT8 that were not the fault, the largest first; the last one taken was."""
    for name in sorted(found[2][:-1], key=lambda layer: -work.get(layer, 0)):
        fewer = [layer for layer in found[2] if layer != name]
        graph, kept = trial.attempt(config, fewer)
        if kept.least >= wanted:
            found = graph, kept, fewer
            trial.say(f"{kept} with {name} in INT8 again")
    return found


def _harm(reference: Outputs, answered: Outputs) -> float:
    difference = answered.logits.astype(np.float64) - reference.logits
    size = np.sqrt((reference.logits.astype(np.float64) ** 2).mean())
    return float(np.sqrt((difference**2).mean()) / max(size, np.finfo(np.float32).tiny))
