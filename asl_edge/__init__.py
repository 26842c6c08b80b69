"""asl-edge: recognise the letters of American Sign Language in images of hands, on small machines.

Everything here is loaded on first use: `import asl_edge` imports no NumPy, and a device that only predicts never
needs the packages for training. PEP 562 describes the mechanism.

Importing it switches off the telemetry of ONNX Runtime, which from 1.29 on writes to `~/.cache/Microsoft` and connects
to a host of Microsoft. Whoever wants it sets `ORT_DISABLE_TELEMETRY=0` before.
"""

from __future__ import annotations

import os

from asl_edge._version import __version__

TYPE_CHECKING = False
# Not imported from typing: that takes longer than all of this, and Ctrl-C meanwhile cannot be dealt with here.
if TYPE_CHECKING:
    from typing import Any

    from asl_edge.api import adapt, benchmark, evaluate, predict, prepare, recipe, train, verify
    from asl_edge.bench.scenarios import Effort
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.data.prepare.prepare import PrepareConfig, SplitPlan
    from asl_edge.export.build import Int8Choices
    from asl_edge.export.file_or_bundle import export
    from asl_edge.export.int8.quantize import QuantizationConfig
    from asl_edge.runtime.model_options import ModelOptions
    from asl_edge.runtime.predict import PredictConfig
    from asl_edge.runtime.predictor import Predictor
    from asl_edge.runtime.streams.prediction import Prediction
    from asl_edge.spec import ModelSpec
    from asl_edge.training.config import TrainConfig

# Here and not where ONNX Runtime is imported, since that reads it once, and tests, benchmarks and other people's code
# import it too.
if not os.environ.get("ORT_DISABLE_TELEMETRY"):  # an empty one, which switches nothing off, is nobody's choice
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__all__ = [
    "Effort",
    "Int8Choices",
    "ModelOptions",
    "ModelSpec",
    "PredictConfig",
    "Prediction",
    "Predictor",
    "PrepareConfig",
    "PreparedArrays",
    "QuantizationConfig",
    "SplitPlan",
    "TrainConfig",
    "__version__",
    "adapt",
    "benchmark",
    "evaluate",
    "export",
    "predict",
    "prepare",
    "recipe",
    "train",
    "verify",
]

_LAZY = {
    "Effort": "asl_edge.bench.scenarios",
    "Int8Choices": "asl_edge.export.build",
    "ModelOptions": "asl_edge.runtime.model_options",
    "ModelSpec": "asl_edge.spec",
    "PredictConfig": "asl_edge.runtime.predict",
    "Prediction": "asl_edge.runtime.streams.prediction",
    "Predictor": "asl_edge.runtime.predictor",
    "PrepareConfig": "asl_edge.data.prepare.prepare",
    "PreparedArrays": "asl_edge.data.arrays",
    "QuantizationConfig": "asl_edge.export.int8.quantize",
    "SplitPlan": "asl_edge.data.prepare.prepare",
    "TrainConfig": "asl_edge.training.config",
    "adapt": "asl_edge.api",
    "benchmark": "asl_edge.api",
    "evaluate": "asl_edge.api",
    "predict": "asl_edge.api",
    "prepare": "asl_edge.api",
    "recipe": "asl_edge.api",
    "train": "asl_edge.api",
    "verify": "asl_edge.api",
}
"""Public name to the module that holds it. `export` is not among them: it is the package `asl_edge.export` itself,
which can be called (see there)."""


def __getattr__(name: str) -> Any:
    import importlib

    if name == "export":
        return importlib.import_module("asl_edge.export")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
