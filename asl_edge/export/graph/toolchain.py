"""The packages that turn a Keras model into an ONNX file, imported once, quietly and on the right backend."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import platform
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from asl_edge.errors import MissingPackageError, UserError
from asl_edge.process.environment import for_importing_keras, use_our_keras_settings, variables
from asl_edge.process.native_stderr import quiet_stderr

PACKAGES = ("keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime")


def load_keras() -> Any:
    """Return the module `keras`, running on TensorFlow in plain float32 arithmetic.

    tf2onnx reads TensorFlow graphs only, so TensorFlow is chosen even where `KERAS_BACKEND` names another backend;
    a `.keras` file is the same on every backend.

    Raises:
        MissingPackageError: Keras or TensorFlow is not installed.
        UserError: this process has already loaded Keras on another backend.
    """
    if "keras" not in sys.modules:
        with for_importing_keras(), variables(KERAS_BACKEND="tensorflow"), quiet_stderr():
            # The reference must be float32 throughout: no oneDNN kernels that may choose bfloat16 (AMX), no TF32.
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
            load("tensorflow")
            load("keras")
    keras = load("keras")
    use_our_keras_settings(keras)
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise UserError(
            f"Export needs Keras on TensorFlow, and this process runs it on {backend}. "
            "Start a new process with KERAS_BACKEND=tensorflow."
        )
    load("tensorflow").config.experimental.enable_tensor_float_32_execution(False)
    return keras


def load_tf2onnx() -> Any:
    """Return the module `tf2onnx.convert`, with its progress output silenced.

    Raises:
        MissingPackageError: it is not installed.
    """
    with quiet_stderr(), warnings.catch_warnings(), for_importing_keras():
        warnings.simplefilter("ignore")
        convert = load("tf2onnx.convert")
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    return convert


def load(name: str) -> Any:
    """Import a module by name.

    Raises:
        MissingPackageError: it is not installed, or cannot be loaded.
    """
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        extra = "cpu" if package == "onnxruntime" else "train"
        raise MissingPackageError(
            f"Exporting and verifying need {package}, which cannot be imported ({error}). "
            f"Install it: pip install 'asl-edge[{extra}]'"
        ) from error


def versions() -> dict[str, str]:
    """Return the versions of asl-edge, Python and every package that takes part in an export."""
    from asl_edge._version import __version__

    installed = {"asl-edge": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            installed[package] = version(package)
    if "onnxruntime" not in installed:
        # It may come from a distribution with another name (onnxruntime-gpu, onnxruntime-openvino).
        installed["onnxruntime"] = str(load("onnxruntime").__version__)
    return installed
