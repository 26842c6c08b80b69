"""Where a predictor's model comes from: an `.onnx` file, the model in the box, or the fitting precision of a bundle."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping

from asl_edge.errors import ModelError
from asl_edge.runtime.bundle.detection import is_bundle
from asl_edge.runtime.engine import providers
from asl_edge.runtime.engine.model_source import ModelSource
from asl_edge.runtime.engine.precision import wants_proof
from asl_edge.runtime.engine.providers import AUTO_ORDER, PrecisionWarning, ProviderWarning
from asl_edge.runtime.engine.session import OpenedSession, Opening, open_session
from asl_edge.runtime.engine.tensorrt_cache import settings_for
from asl_edge.runtime.engine.tuned import read_tuned
from asl_edge.runtime.onnx_file.metadata import read_spec
from asl_edge.runtime.onnx_file.safety import reject_external_weights
from asl_edge.runtime.pretrained import resolve


def find_model(
    model: str | os.PathLike[str] | None, *, provider: str = "auto", precision: str | None = None
) -> ModelSource:
    """Find the model that a path or a word means, and read its spec.

    Args:
        model: an `.onnx` file, a bundle, None or `box` for the model in the box.
        provider: for which a bundle's precision is chosen; of `auto` the first that this ONNX Runtime offers.
        precision: the precision to take of a bundle, instead of the one that suits best.

    Raises:
        ModelError: see `asl_edge.runtime.onnx_file.metadata.read_spec` and `asl_edge.runtime.bundle.reader.Bundle`.
        ProviderError: the provider is unknown.
    """
    path = resolve(model)
    if not is_bundle(path):
        spec = read_spec(path)
        reject_external_weights(path)
        return ModelSource(os.fspath(path), os.fspath(path), spec)
    from asl_edge.runtime.bundle.reader import Bundle
    from asl_edge.runtime.engine.precision import best_for

    bundle = Bundle(path)
    chosen = precision or best_for(bundle.models, _likely(provider)).precision
    data, spec = bundle.onnx(chosen)
    return ModelSource(f"{os.fspath(path)} ({chosen})", data, spec)


def open_model(
    model: str | os.PathLike[str] | None,
    *,
    provider: str = "auto",
    strict: bool = False,
    threads: int | None = None,
    workers: int = 1,
    expected: int | None = None,
    precision: str | None = None,
    provider_options: Mapping[str, str] | None = None,
    profile: str | os.PathLike[str] | None = None,
    stacklevel: int = 2,
) -> tuple[ModelSource, OpenedSession]:
    """Find a model and open a session for it; arguments and errors as of `find_model` and `open_session`.

    `expected` is how many images there are to answer, None for many (see `opening_for`).

    Where neither provider nor threads nor precision are named, what `asl-edge tune` found for this model and machine
    counts (not its threads with several workers, since it measures one run at a time). Where `auto` ends on another
    provider than a bundle's precision was chosen for, the precision for that one is taken. A bundle's INT8 is used once
    its golden examples have passed here (`asl_edge.runtime.bundle.golden_test`); where they fail, another precision is
    taken, with a PrecisionWarning, or ModelError raised if it was named or there is none.
    """
    named = precision is not None
    if provider.strip().casefold() == "auto" and threads is None and precision is None and not provider_options:
        tuned = read_tuned(resolve(model))
        if tuned is not None:
            provider, threads = tuned.provider, tuned.threads if workers == 1 or tuned.provider != "cpu" else None
            precision = tuned.precision if is_bundle(resolve(model)) else None
    found = find_model(model, provider=provider, precision=precision)

    def opened_for(source: ModelSource, asked: str) -> OpenedSession:
        settings = settings_for(asked, resolve(model), source, provider_options, stacklevel=stacklevel + 2)
        return open_session(
            source.content,
            provider=asked,
            strict=strict,
            threads=threads,
            workers=workers,
            opening=opening_for(source.spec.precision, expected),
            precision=source.spec.precision,
            provider_options=settings,
            profile=profile,
            stacklevel=stacklevel + 2,
        )

    def opened_again(source: ModelSource, asked: str) -> OpenedSession:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ProviderWarning)  # the first attempt has said it
            return opened_for(source, asked)

    opened = opened_for(found, provider)
    if isinstance(found.content, bytes) and precision is None and opened.used[0] != _likely(provider):
        other = find_model(model, provider=opened.used[0])
        if other.spec.precision != found.spec.precision:
            found, opened = other, opened_again(other, opened.used[0])
    reason = _reason_against(model, found, opened, stacklevel)
    if reason is None:
        return found, opened
    said = f"{found.name} answers otherwise here than where it was made: {reason}"
    instead = None if named else _without_proof(model, opened.used[0])
    if instead is None:
        raise ModelError(f"{said} It is not used. `asl-edge verify {resolve(model)}` says more.")
    warnings.warn(f"{said} {instead.spec.precision} is used instead.", PrecisionWarning, stacklevel=stacklevel)
    return instead, opened_again(instead, provider)


def _reason_against(
    model: str | os.PathLike[str] | None, found: ModelSource, opened: OpenedSession, stacklevel: int
) -> str | None:
    """Return why a model must not be used as it was opened, None where it may; warn where that cannot be told."""
    if not wants_proof(found.spec.precision):
        return None
    if isinstance(found.content, str):
        _warn_of_saturation(found, opened, stacklevel + 1)
        return None
    from asl_edge.runtime.bundle.golden_test import check  # here: a file without examples need not wait for it

    return check(resolve(model), found.spec.precision, opened)


def _warn_of_saturation(found: ModelSource, opened: OpenedSession, stacklevel: int) -> None:
    """Warn of INT8 on a processor that may add it up wrongly; a file has no examples that could prove it."""
    from asl_edge.runtime.engine.precision import has_vnni, processor

    if opened.used[0] in ("cpu", "openvino", "dnnl") and processor() == "x86" and has_vnni() is False:
        warnings.warn(
            f"{found.name} is INT8, and this processor has no VNNI: sums may saturate, so that answers differ. "
            "Take another precision, or prove it with a bundle: asl-edge verify.",
            PrecisionWarning,
            stacklevel=stacklevel + 1,
        )


def _without_proof(model: str | os.PathLike[str] | None, provider: str) -> ModelSource | None:
    """Return a bundle's best precision for a provider among those that are right everywhere."""
    from asl_edge.runtime.bundle.reader import Bundle
    from asl_edge.runtime.engine.precision import best_for

    rest = [entry for entry in Bundle(resolve(model)).models if not wants_proof(entry.precision)]
    return find_model(model, provider=provider, precision=best_for(rest, provider).precision) if rest else None


def opening_for(precision: str, expected: int | None) -> Opening:
    """Return how a session for so many images should be opened.

    The way whose opening and answers take least time together, by benchmarks/results/speed/session-opening.md (one image at a
    time; up to 100, since a model that answers for longer should not hang on its file). Precisions that are not in that
    table are opened as float32 is, but for fewer images.
    """
    most: dict[str, tuple[tuple[int, Opening], ...]] = {
        "fp16-weights": ((11, "once"),),
        "fp32": ((28, "short"), (100, "mapped")),
        "int8": ((3, "short"), (100, "mapped")),
    }
    if expected is None:
        return "lasting"
    ways = most.get(precision, ((16, "short"),))
    return next((opening for images, opening in ways if expected <= images), "lasting")


def _likely(provider: str) -> str:
    name = provider.strip().casefold()
    if name != "auto":
        return providers.get(provider).name
    offered = providers.offered()
    return next((candidate for candidate in AUTO_ORDER if candidate in offered), "cpu")
