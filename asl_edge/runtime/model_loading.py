"""Choosing, opening and testing the model that runs: a file, the pretrained model, or one precision of a bundle."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from asl_edge.errors import ModelError
from asl_edge.process import log
from asl_edge.process.warn import warn
from asl_edge.runtime.bundle.detection import is_bundle
from asl_edge.runtime.engine import providers
from asl_edge.runtime.engine.model_source import ModelSource
from asl_edge.runtime.engine.precision import needs_golden_test
from asl_edge.runtime.engine.providers import AUTO, AUTO_ORDER, PrecisionWarning, ProviderWarning
from asl_edge.runtime.engine.session import OpenedSession, Opening, OpenRequest, open_session
from asl_edge.runtime.engine.tensorrt_cache import settings_for
from asl_edge.runtime.engine.tuned import read_tuned
from asl_edge.runtime.model_options import ModelOptions, changed
from asl_edge.runtime.onnx_file.model_file import ModelFile
from asl_edge.runtime.pretrained import resolve

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from asl_edge.runtime.model_options import ModelChanges


def find_model(
    model: str | os.PathLike[str] | None, options: ModelOptions | None = None, **changes: Unpack[ModelChanges]
) -> ModelSource:
    """Find the model that a path or a word means, and read its spec.

    Args:
        model: an `.onnx` file, a bundle, None or `pretrained` for the pretrained model.
        options: `precision` selects one of a bundle; None for the best one for `provider`, `auto` meaning the first
            provider that this ONNX Runtime offers. The other options do not matter here.
        changes: fields of the options by name, over those of `options`.

    Raises:
        ModelError: see `asl_edge.runtime.onnx_file.metadata.read_spec` and `asl_edge.runtime.bundle.reader.Bundle`.
        ProviderError: the provider is unknown.
    """
    return _choose(resolve(model), changed(options, changes))


def open_model(
    model: str | os.PathLike[str] | None,
    options: ModelOptions | None = None,
    *,
    expected: int | None = None,
    profile: str | os.PathLike[str] | None = None,
    **changes: Unpack[ModelChanges],
) -> tuple[ModelSource, OpenedSession]:
    """Choose a model, open a session for it, and test INT8 of a bundle before it is used.

    If neither provider nor threads nor precision are named, the settings that `asl-edge tune` found for this model and
    machine are used (but not its threads with several workers, since it measures one run at a time). If `auto` ends on
    another provider than the one for which a bundle's precision was chosen, the precision is chosen again. A bundle's
    INT8 is used once its golden examples have passed here (`asl_edge.runtime.bundle.golden_test`). If they fail,
    another precision is used, with a PrecisionWarning; if INT8 was named or there is no other, ModelError is raised.

    Args:
        model: as for `find_model`.
        options: how to open it; None for the defaults.
        expected: how many images there are to classify, None for many (see `opening_for`).
        profile: beginning of the path of ONNX Runtime's profile.
        changes: fields of the options by name, over those of `options`.

    Raises:
        ModelError, ProviderError, MissingPackageError: see `find_model` and `open_session`.
    """
    path = resolve(model)
    options = changed(options, changes)
    options = replace(options, provider=providers.our_name_or_auto(options.provider))
    wanted = _with_tuned_settings(path, options)
    source = _choose(path, wanted)
    opened_with = partial(_open, path, expected=expected, profile=profile)
    opened = opened_with(source, wanted)
    if isinstance(source.content, bytes) and wanted.precision is None and opened.used[0] != _likely(wanted.provider):
        other = _choose(path, ModelOptions(provider=opened.used[0]))
        if other.spec.precision != source.spec.precision:
            with _without_provider_warnings():
                source, opened = other, opened_with(other, replace(wanted, provider=opened.used[0]))
    fault = _self_test(path, source, opened)
    if fault is None:
        return source, opened
    message = f"{source.name} gives other results here than where it was exported: {fault}"
    instead = None if options.precision is not None else _without_proof(path, opened.used[0])
    if instead is None:
        raise ModelError(f"{message} It is not used. Details: asl-edge verify {path}")
    warn(f"{message} {instead.spec.precision} is used instead.", PrecisionWarning)
    with _without_provider_warnings():
        return instead, opened_with(instead, wanted)


def _with_tuned_settings(path: str | os.PathLike[str], options: ModelOptions) -> ModelOptions:
    """Return options with the settings that `asl-edge tune` found, unless any of them was named."""
    named = options.provider != AUTO or options.threads is not None or options.precision is not None
    tuned = None if named or options.provider_options else read_tuned(path)
    if tuned is None:
        return options
    log.info(
        "tuned settings of %s used: provider %s, threads %s, precision %s",
        os.fspath(path),
        tuned.provider,
        tuned.threads or "all",
        tuned.precision,
    )
    return replace(
        options,
        provider=tuned.provider,
        threads=tuned.threads if options.workers == 1 or tuned.provider != "cpu" else None,
        precision=tuned.precision if is_bundle(path) else None,
    )


def _choose(path: str | os.PathLike[str], options: ModelOptions) -> ModelSource:
    """Return the model in a file, or in a bundle's precision: the named one, or the best one for the provider."""
    if not is_bundle(path):
        file = ModelFile(path)
        return ModelSource(os.fspath(path), os.fspath(path), file.spec(), file)
    from asl_edge.runtime.bundle.reader import Bundle
    from asl_edge.runtime.engine.precision import best_for

    bundle = Bundle(path)
    precision = options.precision or best_for(bundle.models, _likely(options.provider)).precision
    log.info("precision %s of the bundle %s chosen for provider %s", precision, os.fspath(path), options.provider)
    data, spec = bundle.onnx(precision)
    bundle.reject_damage()
    return ModelSource(f"{os.fspath(path)} ({precision})", data, spec)


def _open(
    path: str | os.PathLike[str],
    source: ModelSource,
    options: ModelOptions,
    expected: int | None,
    profile: str | os.PathLike[str] | None,
) -> OpenedSession:
    return open_session(
        source.content if source.file is None else source.file,
        OpenRequest(
            provider=options.provider,
            strict=options.strict,
            threads=options.threads,
            workers=options.workers,
            opening=opening_for(source.spec.precision, expected),
            precision=source.spec.precision,
            provider_options=settings_for(options.provider, path, source, options.provider_options),
            wait_actively=options.wait_actively,
            profile=profile,
        ),
    )


@contextmanager
def _without_provider_warnings() -> Iterator[None]:
    """Open another precision without the warnings that the first attempt has given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProviderWarning)
        yield


def _self_test(path: str | os.PathLike[str], source: ModelSource, opened: OpenedSession) -> str | None:
    """Return why a model must not be used as it was opened, None if it may; warn if that cannot be tested."""
    if not needs_golden_test(source.spec.precision):
        return None
    if source.file is not None:
        _warn_of_saturation(source, opened)
        return None
    from asl_edge.runtime.bundle.golden_test import check  # here: a file without examples does not need it

    return check(path, source.spec.precision, opened)


def _warn_of_saturation(source: ModelSource, opened: OpenedSession) -> None:
    """Warn of INT8 sums that may saturate in a provider on this processor; a file has no golden examples to test it.

    On `cpu` ONNX Runtime is told to compute exactly (see `asl_edge.runtime.engine.session.session_options`).
    """
    from asl_edge.runtime.engine.precision import may_saturate, products_saturate

    if opened.used[0] in ("openvino", "dnnl") and may_saturate(source.spec) and products_saturate():
        warn(
            f"{source.name} is INT8 with 8-bit weights, and this processor has no VNNI: sums may saturate and change "
            "predictions. Export it again, or run it with --provider cpu.",
            PrecisionWarning,
        )


def _without_proof(path: str | os.PathLike[str], provider: str) -> ModelSource | None:
    """Return a bundle's best precision for a provider among those that are correct on every processor."""
    from asl_edge.runtime.bundle.reader import Bundle
    from asl_edge.runtime.engine.precision import best_for

    rest = [entry for entry in Bundle(path).models if not needs_golden_test(entry.precision)]
    return _choose(path, ModelOptions(precision=best_for(rest, provider).precision)) if rest else None


def opening_for(precision: str, expected: int | None) -> Opening:
    """Return how to open a session for so many images.

    The way for which opening and classifying take least time together, by benchmarks/results/speed/session-opening.md
    (one image at a time; up to 100, since a model that runs for longer should not depend on its file). Precisions that
    are not in that table are opened like float32, but for fewer images.
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
    """Return the provider that a session will probably use; for `auto` the first that this ONNX Runtime offers."""
    if not providers.is_auto(provider):
        return providers.get(provider).name
    offered = providers.offered()
    return next((candidate for candidate in AUTO_ORDER if candidate in offered), "cpu")
