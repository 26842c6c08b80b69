"""Golden tests: a device runs a bundle's examples and compares with the outputs from where the bundle was made."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from asl_edge.errors import ModelError
from asl_edge.process import log
from asl_edge.runtime.bundle import verified
from asl_edge.runtime.bundle.reader import Bundle
from asl_edge.runtime.engine.model_source import ModelSource
from asl_edge.runtime.engine.precision import needs_golden_test
from asl_edge.runtime.engine.providers import AUTO, ProviderWarning, our_name_or_auto
from asl_edge.runtime.engine.session import OpenedSession, open_session
from asl_edge.runtime.engine.tensorrt_cache import settings_for
from asl_edge.runtime.onnx_file.metadata import check_signature
from asl_edge.spec import INPUT_NAME, OUTPUT_NAME, ModelSpec

WORST_SHOWN = 5

_FEWEST_EQUAL = 0.75
"""A precision fails below this share of equal labels, even if its bundle tolerates more."""


@dataclass(frozen=True)
class GoldenDifference:
    """One example with another output on this device."""

    example: int
    """Number of the example, from 0."""
    expected: str
    predicted: str
    probability_difference: float


@dataclass(frozen=True)
class GoldenResult:
    """One precision, run on this device."""

    precision: str
    target: str | None
    provider: str
    """The requested provider."""
    providers_used: tuple[str, ...]
    threads: int | None
    examples: int
    labels_equal: int
    max_probability_difference: float
    tolerance: float
    failures: tuple[str, ...]
    worst: tuple[GoldenDifference, ...]
    """The examples that differ most."""

    @property
    def passed(self) -> bool:
        """Whether this device computes the expected outputs."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {"passed": self.passed, **asdict(self)}


def verify_bundle(
    bundle: Bundle,
    *,
    provider: str = "auto",
    threads: int | None = None,
    precisions: tuple[str, ...] | None = None,
    record: bool = True,
) -> tuple[GoldenResult, ...]:
    """Run a bundle's golden examples with a provider, one precision after the other.

    A precision passes where no probability differs by more than the bundle's tolerance for it, and no label whose
    lead over the second is larger than twice that. Results of INT8 are recorded, since `open_model` needs them.

    Args:
        bundle: an opened bundle; all of its members are checked first.
        provider: our name of an execution provider, or `auto`.
        threads: threads within one operator; None for one per core.
        precisions: which; all by default.
        record: False keeps no record of INT8's results, as for a temporary file.

    Raises:
        ModelError: the bundle was changed, or lacks a precision.
        ProviderError: the provider is unknown, or does not really work here.
    """
    provider = our_name_or_auto(provider)
    bundle.check()
    results = tuple(_verified(bundle, name, provider, threads) for name in precisions or bundle.precisions)
    if record:
        _record(bundle.path, [result for result in results if needs_golden_test(result.precision)])
    return results


def check(bundle: str | os.PathLike[str], precision: str, opened: OpenedSession) -> str | None:
    """Return why a precision of a bundle must not be used here, or None if its examples pass or have passed before.

    Args:
        bundle: path of the bundle.
        precision: one that it holds.
        opened: the session to use.

    Raises:
        ModelError: the bundle was changed.
    """
    key = _key(precision, opened.used[0])
    fault = verified.read(bundle).get(key)
    when = "earlier"
    if fault is None:
        result = compare(Bundle(bundle), precision, opened)
        _record(bundle, [result])
        fault, when = _in_words(result), "now"
    log.info("golden examples of %s, %s, tested %s: %s", os.fspath(bundle), key, when, fault or "passed")
    return fault or None


def _record(bundle: str | os.PathLike[str], results: Sequence[GoldenResult]) -> None:
    outcomes = {_key(result.precision, result.providers_used[0]): _in_words(result) for result in results}
    verified.record(bundle, outcomes)


def _key(precision: str, provider: str) -> str:
    return f"{precision} on {provider}"


def _in_words(result: GoldenResult) -> str:
    return "" if result.passed else " ".join(result.failures)


def compare(bundle: Bundle, precision: str, opened: OpenedSession) -> GoldenResult:
    """Run the golden examples of one precision in a session that was opened for it.

    Raises:
        ModelError: the bundle was changed, or its examples do not fit the model.
    """
    return _compared(bundle, precision, bundle.onnx(precision)[1], opened)


def _exact(provider: str, precision: str) -> dict[str, str]:
    """Return options for computing in the precision's own arithmetic: by default, TensorRT rounds float32 to half."""
    return {"trt_fp16_enable": "0"} if provider == "tensorrt" and precision in ("fp32", "fp16-weights") else {}


def _verified(bundle: Bundle, precision: str, provider: str, threads: int | None) -> GoldenResult:
    entry = bundle.model(precision)
    data, spec = bundle.onnx(precision)
    name = f"{entry.member} in {bundle.path}"
    with warnings.catch_warnings():
        # A named provider must be the one that is tested; `auto` may fall back, which the result shows.
        warnings.simplefilter("ignore" if provider == AUTO else "default", ProviderWarning)
        settings = settings_for(provider, bundle.path, ModelSource(name, data, spec), _exact(provider, precision))
        opened = open_session(
            data,
            provider=provider,
            strict=provider != AUTO,
            threads=threads,
            precision=spec.precision,
            provider_options=settings,
        )
    return _compared(bundle, precision, spec, opened)


def _compared(bundle: Bundle, precision: str, spec: ModelSpec, opened: OpenedSession) -> GoldenResult:
    entry = bundle.model(precision)
    images, expected = bundle.golden(precision)
    name = f"{entry.member} in {bundle.path}"
    check_signature(name, spec, opened.session.get_inputs(), opened.session.get_outputs())
    size = spec.input_size
    if images.shape[1:] != (size, size, 3) or expected.shape[1] != len(spec.classes):
        raise ModelError(f"{name} and its golden examples do not fit each other. Make the bundle again.")
    if spec.colour == "BGR":
        images = np.ascontiguousarray(images[..., ::-1])
    outputs = np.concatenate(
        [opened.run([OUTPUT_NAME], {INPUT_NAME: images[row : row + 1]})[0] for row in range(len(images))]
    )
    if outputs.shape != expected.shape:
        raise ModelError(f"{name} returns {outputs.shape} instead of {expected.shape}. Make the bundle again.")
    with np.errstate(invalid="ignore"):
        differences = np.abs(outputs - expected).max(axis=1)
    there, here = expected.argmax(axis=1), outputs.argmax(axis=1)
    top_two = np.sort(expected, axis=1)[:, -2:]
    clear = top_two[:, 1] - top_two[:, 0] > 2 * entry.tolerance
    failures = []
    if not np.isfinite(outputs).all():
        failures.append("An output is NaN or infinite.")
    elif differences.max() > entry.tolerance:
        failures.append(f"A probability differs by {differences.max():.2g}; at most {entry.tolerance:g} is allowed.")
    changed = int(((there != here) & clear).sum())
    if changed:
        failures.append(f"{changed} of {len(images)} examples have another label.")
    equal = int((there == here).sum())
    if equal < _FEWEST_EQUAL * len(images) and not changed:  # whatever the bundle allows
        failures.append(f"Only {equal} of {len(images)} examples have the label that they had.")
    order = np.lexsort((-np.nan_to_num(differences, nan=np.inf), there == here))[:WORST_SHOWN]
    return GoldenResult(
        precision=precision,
        target=entry.target,
        provider=opened.requested,
        providers_used=opened.used,
        threads=opened.threads,
        examples=len(images),
        labels_equal=equal,
        max_probability_difference=float(differences.max()),
        tolerance=entry.tolerance,
        failures=tuple(failures),
        worst=tuple(
            GoldenDifference(int(row), spec.classes[there[row]], spec.classes[here[row]], float(differences[row]))
            for row in order
            if differences[row] > 0 or there[row] != here[row]
        ),
    )
