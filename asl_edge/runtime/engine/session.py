"""Opens ONNX Runtime sessions, and reports it when one does not run on the requested provider."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError, ProviderError
from asl_edge.process import log
from asl_edge.process.printable import on_one_line
from asl_edge.process.warn import warn
from asl_edge.runtime.engine import providers
from asl_edge.runtime.engine.io_binding import buffers_for
from asl_edge.runtime.engine.precision import products_saturate
from asl_edge.runtime.engine.providers import AUTO, AUTO_ORDER, PROVIDERS, Provider, ProviderWarning
from asl_edge.runtime.machine import fast_cores, threads_here
from asl_edge.runtime.onnx_file.external_weights import map_model
from asl_edge.runtime.onnx_file.model_file import ModelFile

Opening = Literal["lasting", "mapped", "short", "once"]
"""How much work goes into opening a session, from most to least.

`lasting` does everything that makes runs fast. The others leave the weights in the model's file if possible, and keep
no memory for later runs. `mapped` leaves out only packing the weights for the processor, except for INT8 (whose runs
would take five times as long); `short` also leaves out optimisations for the kind of processor, and `once` all
optimisations of the graph, so that even constants are computed for each image.
"""

_LONGEST_REASON = 500
_DEFAULT_SEVERITY = 2
_ERRORS_ONLY = 3  # ONNX Runtime's severities: 2 warning, 3 error, 4 fatal
_FATAL_ONLY = 4


@dataclass(frozen=True)
class OpenedSession:
    """A session, with what was requested and what it really uses."""

    session: Any
    """The `onnxruntime.InferenceSession`."""
    requested: str
    """Our name of the requested provider, or `auto`."""
    used: tuple[str, ...]
    """Our names of the providers that the session really uses, first choice first."""
    threads: int | None
    """Threads within one operator; None is ONNX Runtime's own choice, one per core."""
    workers: int = 1
    """How many runs the session is meant to execute side by side."""

    def run(self, names: Sequence[str], feed: Mapping[str, npt.NDArray[np.uint8]]) -> list[Any]:
        """Run the network on images, by `session.run`, or on a GPU through reused buffers.

        Raises:
            ModelError: ONNX Runtime reports an error, such as shapes that do not fit or too little memory.
        """
        try:
            return self._run(names, feed)
        except Exception as error:  # ONNX Runtime's errors have no common base
            raise ModelError(
                f"The model fails while it is run by ONNX Runtime {providers.onnxruntime().__version__}: "
                f"{_first_line(str(error)) or type(error).__name__}. Export it again with `asl-edge export`, or "
                "classify fewer images at once."
            ) from error

    @cached_property
    def _run(self) -> Callable[[Sequence[str], Mapping[str, npt.NDArray[np.uint8]]], list[Any]]:
        buffers = buffers_for(self.session, self.used[0])
        run: Callable[[Sequence[str], Mapping[str, npt.NDArray[np.uint8]]], list[Any]]
        run = self.session.run if buffers is None else buffers.run
        return run


@dataclass(frozen=True)
class OpenRequest:
    """What a session shall be like."""

    provider: str = "auto"
    """Our name of an execution provider, or `auto` for the best that works."""
    strict: bool = False
    """Raise instead of warning when the session does not use the requested provider."""
    threads: int | None = None
    """Threads within one operator; None for one per core that the process may use."""
    workers: int = 1
    """Runs side by side: more images per second than one run on all cores, but a longer latency each.

    On the CPU only, where they share the cores if `threads` is None; other providers get 1.
    """
    opening: Opening = "lasting"
    """How much of the time for the first images may go into making later ones faster; counts on the CPU."""
    precision: str | None = None
    """The model's precision, as its spec names it; some provider options depend on it."""
    provider_options: Mapping[str, str] | None = None
    """Handed to the provider as ONNX Runtime documents them, over those that asl-edge sets itself; not for `auto`,
    since every provider has its own."""
    wait_actively: bool = True
    """Whether threads spin while they wait for work; counts on the CPU."""
    profile: str | os.PathLike[str] | None = None
    """Beginning of the path of ONNX Runtime's profile, which is written when `end_profiling` is called."""

    def session_options(self) -> Any:
        """Return the `onnxruntime.SessionOptions`; ONNX Runtime logs nothing but what ends the process."""
        options = session_options(self.threads, self.opening, self.precision, severity=_FATAL_ONLY)
        if not self.wait_actively:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        if self.profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = os.fspath(self.profile)
        return options


def open_session(
    model: str | os.PathLike[str] | ModelFile | bytes, request: OpenRequest | None = None, **changes: Any
) -> OpenedSession:
    """Open a session for a model file, or for the bytes of one.

    Args:
        model: path of an `.onnx` file, which is read once, checked, and opened as it was read; or the content of one
            that asl-edge made or has checked.
        request: what the session shall be like; None for the defaults.
        changes: fields of the request by name, over those of `request`: `open_session(model, provider="cpu")`.

    Returns:
        The session, and the providers that it really uses: `get_available_providers()` lists CUDA on a machine
        without a GPU, and ONNX Runtime silently leaves out a provider that cannot start.

    Raises:
        ModelError: the model cannot be loaded, or is not one that asl-edge runs.
        ProviderError: the provider is unknown, not part of this ONNX Runtime, or (with `strict`) not really used.
        MissingPackageError: ONNX Runtime is not installed.
    """
    started = time.perf_counter()
    request = _checked(replace(request or OpenRequest(), **changes))
    model = model if isinstance(model, bytes | ModelFile) else ModelFile(model)
    content = _Content(model)
    if request.provider == AUTO:
        candidates = [PROVIDERS[name] for name in AUTO_ORDER if name in providers.offered()]
    else:
        candidates = [providers.get(request.provider)]
        providers.refuse_not_offered(candidates[0])
    failures: list[str] = []
    for candidate in candidates:
        if candidate.name == "cpu":
            break
        session, reason = _try(content.whole(), candidate, replace(request, opening="lasting"))
        if session is not None:
            used = _used(session)
            _log_opening(model, replace(request, opening="lasting"), used, started)
            return OpenedSession(session, request.provider, used, request.threads)
        log.debug("provider %s does not work here: %s", candidate.name, reason)
        failures.append(f"{candidate.name} does not work here ({reason})")
    if failures:
        message = "; ".join(failures) + f". {_remedy()}"
        if request.strict:
            raise ProviderError(message)
        warn(f"{message} Running on cpu instead.", ProviderWarning)
    if request.workers > 1 and request.threads is None:
        request = replace(request, threads=max(1, fast_cores() // request.workers))
    session = _open_on_cpu(content, request)
    _log_opening(model, request, ("cpu",), started)
    return OpenedSession(session, request.provider, ("cpu",), request.threads, request.workers)


class _Content:
    """A model's bytes, read when they are needed, and once."""

    def __init__(self, model: ModelFile | bytes) -> None:
        self.model = model
        self._whole = model if isinstance(model, bytes) else None

    def whole(self) -> bytes:
        if self._whole is None:
            assert isinstance(self.model, ModelFile)
            self._whole = self.model.read()
        return self._whole


def _log_opening(model: ModelFile | bytes, request: OpenRequest, used: tuple[str, ...], started: float) -> None:
    name = f"a model of {len(model)} bytes" if isinstance(model, bytes) else os.fspath(model.path)
    log.info("provider %s chosen for %s (requested: %s)", used[0], name, request.provider)
    milliseconds = (time.perf_counter() - started) * 1000
    log.info(
        "session opened in %.1f ms (opening: %s, threads: %s, workers: %d, all providers: %s)",
        milliseconds,
        request.opening,
        request.threads or "all",
        request.workers,
        ", ".join(used),
    )


def _checked(request: OpenRequest) -> OpenRequest:
    """Return a request with our name of its provider.

    Raises:
        ProviderError: the provider is unknown, or a number is out of its range.
    """
    if request.threads is not None and request.threads < 1:
        raise ProviderError(f"threads must be 1 or more. Received: {request.threads}")
    if request.workers < 1:
        raise ProviderError(f"workers must be 1 or more. Received: {request.workers}")
    provider = providers.our_name_or_auto(request.provider)
    if request.provider_options and provider in (AUTO, "cpu"):
        raise ProviderError("Provider options belong to one provider other than the CPU; name it with --provider.")
    return replace(request, provider=provider)


def try_provider(model: bytes, provider: Provider, threads: int | None = None) -> tuple[Any, str]:
    """Return a session that really uses `provider` and an empty text, or None and the reason why there is none."""
    return _try(model, provider, OpenRequest(threads=threads))


def _try(model: bytes, provider: Provider, request: OpenRequest) -> tuple[Any, str]:
    runtime = providers.onnxruntime()
    printed = _first_line(providers.preload_libraries(provider))
    options = request.session_options()
    if provider.name == "openvino":  # which optimises the whole graph better itself (4.22 against 4.31 ms)
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    named = request.provider_options or {}
    settings = {**providers.options_for(provider, request.threads, request.precision), **named}
    if "precision" in named and "load_config" not in named:
        settings.pop("load_config", None)  # in which asl-edge asks OpenVINO for one
    chosen = [(provider.ort_name, settings), ("CPUExecutionProvider", {})]
    if provider.name == "tensorrt" and "cuda" in providers.offered():  # for nodes that TensorRT does not support
        chosen.insert(1, (PROVIDERS["cuda"].ort_name, {}))
    runtime.set_default_logger_severity(_FATAL_ONLY)  # it would write several lines; our warning is one
    try:
        session = _make(model, options, chosen)
    except Exception as error:
        # Whatever it was, the CPU is tried next; a fault of the model itself shows there.
        return None, printed or _first_line(str(error)) or type(error).__name__
    finally:
        runtime.set_default_logger_severity(_DEFAULT_SEVERITY)
    if provider.ort_name not in session.get_providers():
        return (
            None,
            printed or "ONNX Runtime left it out of the session, as it does if its library or device is missing",
        )
    return session, ""


def _open_on_cpu(content: _Content, request: OpenRequest) -> Any:
    model = content.model
    if request.opening != "lasting" and isinstance(model, ModelFile):
        session = _open_mapped(model, request)
        if session is not None:
            return session
    options = request.session_options()
    name = f"{model.path}: the model" if isinstance(model, ModelFile) else "The model"
    try:
        return _make(content.whole(), options, [("CPUExecutionProvider", {})])
    except ModelError:
        raise
    except Exception as error:
        version = providers.onnxruntime().__version__
        raise ModelError(
            f"{name} cannot be loaded by ONNX Runtime {version}: {_first_line(str(error)) or type(error).__name__}. "
            "Export it again with `asl-edge export`, or upgrade ONNX Runtime."
        ) from error


def _open_mapped(model: ModelFile, request: OpenRequest) -> Any:
    """Return a session that uses the weights directly from the model's file; None if that is not possible.

    Not for a lasting session: overwriting the file would change its weights, or crash the process.
    """
    if providers.version() < (1, 21):  # earlier ones look for the weights in the current folder
        return None
    mapped = map_model(model.path)
    if mapped is None:
        return None
    model.refuse_unsafe(mapped)
    options = request.session_options()
    try:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", mapped.folder)
        session = _make(mapped.graph, options, [("CPUExecutionProvider", {})])
    except Exception:  # a name that ONNX Runtime rejects; a fault of the model itself shows again
        return None
    return session if mapped.is_unchanged() else None


def session_options(
    threads: int | None, opening: Opening = "lasting", precision: str | None = None, *, severity: int = _ERRORS_ONLY
) -> Any:
    """Return the `onnxruntime.SessionOptions` that asl-edge uses."""
    options = providers.onnxruntime().SessionOptions()
    options.log_severity_level = severity
    # By the content alone, ONNX Runtime would read some models in its own format, which nothing here has checked.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    chosen = threads or threads_here()
    if chosen is not None:
        options.intra_op_num_threads = chosen
    if precision == "int8" and products_saturate():
        # Weights of 8 bits, which older files have, become unsigned there: slower, and exact. Those of 7 bits stay.
        options.add_session_config_entry("session.x64quantprecision", "1")
    if opening != "lasting":
        if not (opening == "mapped" and precision == "int8"):
            options.add_session_config_entry("session.disable_prepacking", "1")
        options.enable_cpu_mem_arena = False  # which reserves memory for later runs that may never come
        levels = providers.onnxruntime().GraphOptimizationLevel
        options.graph_optimization_level = {
            "mapped": levels.ORT_ENABLE_ALL,
            "short": levels.ORT_ENABLE_EXTENDED,
            "once": levels.ORT_DISABLE_ALL,
        }[opening]
    return options


def _make(model: bytes, options: Any, chosen: list[tuple[str, dict[str, str]]]) -> Any:
    # With its fallback, ONNX Runtime prints to standard output and changes providers by itself, even during run().
    session = providers.onnxruntime().InferenceSession(
        model,
        options,
        providers=[name for name, _ in chosen],
        provider_options=[settings for _, settings in chosen],
        enable_fallback=0,
    )
    # The session would hold the bytes as long as it lives, in case its providers are changed.
    if getattr(session, "_model_bytes", None) is model:
        session._model_bytes = b""
    return session


def _used(session: Any) -> tuple[str, ...]:
    return tuple(providers.our_name(name) for name in session.get_providers())


def _remedy() -> str:
    from asl_edge.runtime.engine.installed_packages import runtime_clash

    clash = runtime_clash()
    return clash.remedy if clash else "Details: asl-edge doctor"


def _first_line(text: str) -> str:
    """Return the first line of a message of ONNX Runtime, without the position in its source code."""
    line = on_one_line(next(iter(text.strip().splitlines()), ""))[:_LONGEST_REASON]
    return re.sub(r"^(\[ONNXRuntimeError\] : \d+ : \w+ : )?\S+\.(cc|h):\d+ .*\) (?=[A-Z])", "", line).rstrip(". ")
