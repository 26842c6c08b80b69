"""Execution providers: our names for ONNX Runtime's, which of them work here, and the options each one needs."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asl_edge.errors import MissingPackageError, ProviderError
from asl_edge.process.shared_libraries import remedy_for
from asl_edge.runtime.machine import has_bfloat16, threads_here


class ProviderWarning(UserWarning):
    """The session runs on another provider than the requested one."""


class PrecisionWarning(ProviderWarning):
    """A precision gives other results on this processor, or may, and is not used."""


class EngineBuildNotice(UserWarning):
    """TensorRT is about to build an engine, which takes minutes."""


@dataclass(frozen=True)
class Provider:
    """An execution provider: its names, and how to get it."""

    name: str
    """Our name, as in `--provider cuda`."""
    ort_name: str
    """ONNX Runtime's name, as in `session.get_providers()`."""
    comes_with: str
    """How to get it; completes a sentence that begins with "Get it with"."""


PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (
        Provider("cpu", "CPUExecutionProvider", "pip install 'asl-edge[cpu]'"),
        Provider(
            "cuda", "CUDAExecutionProvider", "pip install 'asl-edge[gpu]' (on a Jetson: NVIDIA's onnxruntime-gpu)"
        ),
        Provider(
            "tensorrt",
            "TensorrtExecutionProvider",
            "pip install 'asl-edge[gpu]' tensorrt (on a Jetson: NVIDIA's onnxruntime-gpu)",
        ),
        Provider("openvino", "OpenVINOExecutionProvider", "pip install 'asl-edge[openvino]'"),
        Provider("coreml", "CoreMLExecutionProvider", "pip install 'asl-edge[cpu]' on macOS"),
        Provider("directml", "DmlExecutionProvider", "pip install onnxruntime-directml on Windows"),
        Provider("xnnpack", "XnnpackExecutionProvider", "an ONNX Runtime built with --use_xnnpack"),
        Provider("qnn", "QNNExecutionProvider", "pip install onnxruntime-qnn on a Qualcomm machine"),
        Provider("rocm", "ROCMExecutionProvider", "AMD's onnxruntime-rocm"),
        Provider("migraphx", "MIGraphXExecutionProvider", "AMD's onnxruntime-migraphx"),
        Provider("dnnl", "DnnlExecutionProvider", "an ONNX Runtime built with --use_dnnl"),
        Provider("acl", "ACLExecutionProvider", "an ONNX Runtime built with --use_acl"),
        Provider("nnapi", "NnapiExecutionProvider", "ONNX Runtime for Android"),
        Provider("vitisai", "VitisAIExecutionProvider", "AMD's Ryzen AI software"),
        Provider("cann", "CANNExecutionProvider", "pip install onnxruntime-cann on a Huawei Ascend machine"),
    )
}

AUTO = "auto"
"""The word for the best provider that works here."""

AUTO_ORDER = ("cuda", "rocm", "migraphx", "openvino", "directml", "coreml", "cpu")
"""What `auto` tries, best first. TensorRT must be requested by name: its first session builds an engine for minutes."""

_BY_ORT_NAME = {provider.ort_name: provider.name for provider in PROVIDERS.values()}


def onnxruntime() -> Any:
    """Return the module `onnxruntime`.

    Raises:
        MissingPackageError: ONNX Runtime is not installed, or what is installed cannot be loaded.
    """
    try:
        import onnxruntime
    except ImportError as error:
        remedy = remedy_for(str(error)) or (
            "Install it: pip install 'asl-edge[cpu]' (NVIDIA GPU: 'asl-edge[gpu]'; on a Jetson: NVIDIA's "
            "onnxruntime-gpu)."
        )
        raise MissingPackageError(
            f"ONNX Runtime is needed to predict and cannot be imported ({error}). {remedy}"
        ) from error
    if not hasattr(onnxruntime, "InferenceSession"):
        # This is left when pip uninstalls one of two packages that share the folder `onnxruntime`.
        raise MissingPackageError(
            "The installed ONNX Runtime is incomplete, as after uninstalling one of two ONNX Runtime packages. "
            "`asl-edge doctor` says how to fix it."
        )
    wanted = os.environ.get("ORT_DISABLE_TELEMETRY", "").lower() in ("0", "false")
    if not wanted and hasattr(onnxruntime, "disable_telemetry_events"):
        # For an ONNX Runtime that was imported before asl-edge, and for Windows, which does not read the variable.
        onnxruntime.disable_telemetry_events()
    return onnxruntime


def our_name(ort_name: str) -> str:
    """Return our name of an execution provider; ONNX Runtime's own name if we have none."""
    return _BY_ORT_NAME.get(ort_name, ort_name)


def get(name: str) -> Provider:
    """Return the provider called `name`, in any case; ONNX Runtime's own names are accepted too.

    Raises:
        ProviderError: there is no such provider.
    """
    wanted = name.strip()
    provider = PROVIDERS.get(_BY_ORT_NAME.get(wanted, wanted.casefold()))
    if provider is None:
        raise ProviderError(f"Unknown provider {name!r}. The providers are auto, {', '.join(PROVIDERS)}.")
    return provider


def is_auto(word: str) -> bool:
    """Whether a provider's name is `auto`, in any case: the best that works here."""
    return word.strip().casefold() == AUTO


def our_name_or_auto(word: str) -> str:
    """Return `auto`, or our name of the provider called `word`.

    Raises:
        ProviderError: there is no such provider.
    """
    return AUTO if is_auto(word) else get(word).name


def offered() -> list[str]:
    """Return our names of the providers that this ONNX Runtime was built with; each may still not work here.

    Raises:
        MissingPackageError: ONNX Runtime is not installed.
    """
    built_in = onnxruntime().get_available_providers()
    return [name for name, provider in PROVIDERS.items() if provider.ort_name in built_in]


def refuse_not_offered(provider: Provider) -> None:
    """Refuse a provider that is not built into this ONNX Runtime.

    Raises:
        ProviderError: it is not; the message names those that are, and how to get the missing one.
    """
    available = offered()
    if provider.name not in available:
        raise ProviderError(
            f"The ONNX Runtime installed here has no {provider.name}; "
            f"it has {', '.join(available) or 'none that asl-edge knows'}. "
            f"Get it with {provider.comes_with}, or choose another --provider. `asl-edge doctor` shows what works."
        )


def options_for(provider: Provider, threads: int | None, precision: str | None = None) -> dict[str, str]:
    """Return the provider options that a session needs to use `provider` with so many threads.

    OpenVINO computes the float parts of INT8 models in bfloat16 if the processor has instructions for it, as its own
    API does; by default, ONNX Runtime makes it use float32 (one thread of an EPYC: 4.23 against 3.88 ms for AlexNet).
    """
    threads = threads or threads_here()
    if provider.name == "openvino":
        options = {"num_of_threads": str(threads)} if threads else {}
        if precision == "int8" and version() >= (1, 23) and has_bfloat16():  # earlier ones overwrite it
            options["load_config"] = '{"CPU": {"INFERENCE_PRECISION_HINT": "bf16"}}'
        return options
    if provider.name == "xnnpack" and threads:
        return {"intra_op_num_threads": str(threads)}
    if provider.name == "qnn":
        return {"backend_path": "QnnHtp.dll" if sys.platform == "win32" else "libQnnHtp.so"}
    return {}


def version() -> tuple[int, ...]:
    """Return the first two numbers of ONNX Runtime's version."""
    return tuple(int(number) for number in re.findall(r"\d+", onnxruntime().__version__)[:2])


def parse_options(words: Sequence[str]) -> dict[str, str]:
    """Parse provider options of the command line, each `name=value`.

    Raises:
        ProviderError: a word has no `=`, no name, or repeats a name.
    """
    options: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip() or name.strip() in options:
            raise ProviderError(f"A provider option is given once, as name=value. Received: {word!r}")
        options[name.strip()] = value.strip()
    return options


def preload_libraries(provider: Provider) -> str:
    """Load the CUDA and cuDNN libraries installed by pip, which ONNX Runtime does not find by itself.

    Returns:
        What ONNX Runtime printed meanwhile; empty if all went well or there is nothing to load.
    """
    runtime = onnxruntime()
    if provider.name not in ("cuda", "tensorrt") or not hasattr(runtime, "preload_dlls"):
        return ""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):  # it prints, but our standard output is for results
            runtime.preload_dlls()
    except Exception as error:  # must not stop a session that may find its libraries elsewhere
        printed.write(f"{type(error).__name__}: {error}")
    return printed.getvalue().strip()
