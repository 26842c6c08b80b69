"""TensorRT's engine and timing cache next to the model, so that only the first session is slow.

Options: ONNX Runtime's documentation, "TensorRT Execution Provider". Not run by us on an NVIDIA GPU yet.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from asl_edge.process.warn import warn
from asl_edge.runtime.engine import providers
from asl_edge.runtime.engine.kept_files import places
from asl_edge.runtime.engine.model_source import ModelSource
from asl_edge.runtime.engine.providers import EngineBuildNotice
from asl_edge.spec import INPUT_NAME, ModelSpec

LARGEST_BATCH = 32
"""Largest batch of an engine; for more images, ONNX Runtime builds another one and says so."""


def cache_folder(model: str | os.PathLike[str]) -> Path:
    """Return TensorRT's cache folder for a model: next to it, or in the user's cache if that place is read-only."""
    *next_to_model, in_cache = places(model, ".tensorrt", "tensorrt", cache_suffix="")
    for folder in next_to_model:
        if folder.is_dir() or os.access(folder.parent, os.W_OK):
            return folder
    return in_cache


def tensorrt_options(folder: Path, spec: ModelSpec) -> dict[str, str]:
    """Return provider options: caches in `folder`, FP16, and one engine for every batch up to `LARGEST_BATCH`.

    FP16 is what TensorRT is chosen for; the provider option `trt_fp16_enable=0` switches it off. Without the
    shapes, ONNX Runtime would build again whenever a batch is smaller or larger than all before.
    """
    side = f"{spec.input_size}x{spec.input_size}x3"
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
        "trt_fp16_enable": "1",
        "trt_int8_enable": "1" if spec.precision == "int8" else "0",
        "trt_profile_min_shapes": f"{INPUT_NAME}:1x{side}",
        "trt_profile_opt_shapes": f"{INPUT_NAME}:1x{side}",
        "trt_profile_max_shapes": f"{INPUT_NAME}:{LARGEST_BATCH}x{side}",
    }


def settings_for(
    provider: str,
    model: str | os.PathLike[str],
    source: ModelSource,
    provider_options: Mapping[str, str] | None,
) -> dict[str, str]:
    """Return provider options for a session: the user's, over those for the model and its caches.

    `provider` is our name of one, or `auto`. Warns with EngineBuildNotice if TensorRT has to build an engine first.
    """
    settings = dict(provider_options or {})
    if provider != "tensorrt":
        return settings
    providers.refuse_not_offered(providers.get(provider))
    version = str(providers.onnxruntime().__version__)
    prepared, notice = prepared_settings(model, source.content, source.spec, version)
    if notice:
        warn(notice, EngineBuildNotice)
    return prepared | settings


def prepared_settings(
    model: str | os.PathLike[str], content: str | bytes, spec: ModelSpec, runtime: str
) -> tuple[dict[str, str], str]:
    """Make the folder for a model's engines, one per content of the file: ONNX Runtime distinguishes only graphs.

    Args:
        model: path of the file or bundle.
        content: what is opened: that path, or the bytes of a bundle's member.
        spec: its spec.
        runtime: version of ONNX Runtime, whose engines other versions may be unable to read.

    Returns:
        Provider options, and a notice for people before the session is created if an engine is built first, else empty.
    """
    data = content if isinstance(content, bytes) else Path(content).read_bytes()
    folder = cache_folder(model) / f"{hashlib.sha256(data).hexdigest()[:16]}-{runtime}"
    options = tensorrt_options(folder, spec)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        kept = {name: value for name, value in options.items() if "cache" not in name}
        why = error.strerror or error
        return kept, f"TensorRT builds an engine, which takes minutes, and cannot keep it in {folder} ({why})."
    if any(folder.glob("*.engine")):
        return options, ""
    notice = f"TensorRT builds an engine for this model and device; this takes minutes once; it is kept in {folder}."
    return options, notice
