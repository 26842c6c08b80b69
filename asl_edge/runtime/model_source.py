"""Where a predictor's model comes from: an `.onnx` file, the model in the box, or the fitting precision of a bundle."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from asl_edge.runtime import providers
from asl_edge.runtime.box import resolve
from asl_edge.runtime.bundle_name import is_bundle
from asl_edge.runtime.model_check import refuse_weights_elsewhere
from asl_edge.runtime.model_file import read_spec
from asl_edge.runtime.providers import AUTO_ORDER, EngineBuildNotice, ProviderWarning
from asl_edge.runtime.session import OpenedSession, Opening, open_session
from asl_edge.runtime.tuned import read_tuned
from asl_edge.spec import ModelSpec


@dataclass(frozen=True)
class ModelSource:
    """A model that can be opened."""

    name: str
    """What messages call it."""
    content: str | bytes
    """A path, or the model itself."""
    spec: ModelSpec


def find_model(
    model: str | os.PathLike[str] | None, *, provider: str = "auto", precision: str | None = None
) -> ModelSource:
    """Find the model that a path or a word means, and read its spec.

    Args:
        model: an `.onnx` file, a bundle, None or `box` for the model in the box.
        provider: for which a bundle's precision is chosen; of `auto` the first that this ONNX Runtime offers.
        precision: the precision to take of a bundle, instead of the one that suits best.

    Raises:
        ModelError: see `asl_edge.runtime.model_file.read_spec` and `asl_edge.runtime.bundle.Bundle`.
        ProviderError: the provider is unknown.
    """
    path = resolve(model)
    if not is_bundle(path):
        spec = read_spec(path)
        refuse_weights_elsewhere(path)
        return ModelSource(os.fspath(path), os.fspath(path), spec)
    from asl_edge.runtime.bundle import Bundle
    from asl_edge.runtime.precision import best_for

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
    stacklevel: int = 2,
) -> tuple[ModelSource, OpenedSession]:
    """Find a model and open a session for it; arguments and errors as of `find_model` and `open_session`.

    `expected` is how many pictures there are to answer, None for many (see `opening_for`).

    Where neither provider nor threads nor precision are named, what `asl-edge tune` found for this model and machine
    counts (not its threads with several workers, since it measures one run at a time). Where `auto` ends on another
    provider than a bundle's precision was chosen for, the precision for that one is taken.
    """
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
            stacklevel=stacklevel + 2,
        )

    opened = opened_for(found, provider)
    if isinstance(found.content, bytes) and precision is None and opened.used[0] != _likely(provider):
        other = find_model(model, provider=opened.used[0])
        if other.spec.precision != found.spec.precision:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ProviderWarning)  # the first attempt has said it
                return other, opened_for(other, opened.used[0])
    return found, opened


def settings_for(
    provider: str,
    model: str | os.PathLike[str],
    source: ModelSource,
    provider_options: Mapping[str, str] | None,
    *,
    stacklevel: int = 2,
) -> dict[str, str]:
    """Return provider options for a session: one's own over those that a model and its place ask for.

    Warns with EngineBuildNotice where TensorRT has to build an engine first.
    """
    settings = dict(provider_options or {})
    if not providers.is_named(provider, "tensorrt"):
        return settings
    from asl_edge.runtime.engine_cache import prepared_settings

    providers.refuse_not_offered(providers.get(provider))
    version = str(providers.onnxruntime().__version__)
    prepared, notice = prepared_settings(model, source.content, source.spec, version)
    if notice:
        warnings.warn(notice, EngineBuildNotice, stacklevel=stacklevel + 1)
    return prepared | settings


def opening_for(precision: str, expected: int | None) -> Opening:
    """Return how a session for so many pictures should be opened.

    The way whose opening and answers take least time together, by benchmarks/results/opening.md (one picture at a
    time). Precisions that are not in that table are opened as float32 is, but for fewer pictures.
    """
    most: dict[str, tuple[Opening, int]] = {"fp16-weights": ("once", 11), "fp32": ("short", 100), "int8": ("short", 4)}
    opening, pictures = most.get(precision, ("short", 16))
    return opening if expected is not None and expected <= pictures else "lasting"


def _likely(provider: str) -> str:
    name = provider.strip().casefold()
    if name != "auto":
        return providers.get(provider).name
    offered = providers.offered()
    return next((candidate for candidate in AUTO_ORDER if candidate in offered), "cpu")
