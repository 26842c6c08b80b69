"""One library's work on an ONNX file, in that library's own environment: started by quantization_peers.py.

    python -m benchmarks.accuracy.quantization_peer NAME JSON

NAME is one of `WAYS`, JSON its options: `model`, the path of the file to start from; `out`, where the result goes;
`calibration`, an `.npy` of uint8 images (N, S, S, 3); and what else the function takes. One line of JSON with the
seconds and the versions is printed. Needs nothing of asl-edge.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

BATCH = 16
INPUT = "image"


class Reader:
    """Calibration images in batches, as ONNX Runtime's quantiser asks for them."""

    def __init__(self, path: str) -> None:
        self._images = np.load(path)
        self._batches = self._open()

    def _open(self) -> Iterator[dict[str, Any]]:
        return ({INPUT: self._images[row : row + BATCH]} for row in range(0, len(self._images), BATCH))

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch, or None behind the last one."""
        return next(self._batches, None)

    def rewind(self) -> None:
        """Start again."""
        self._batches = self._open()


def onnxruntime_int8(options: dict[str, Any]) -> None:
    """`quantize_static` in QDQ form, per channel, uint8 activations and int8 weights, after `quant_pre_process`."""
    quantization = import_module("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as folder:
        prepared = str(Path(folder, "prepared.onnx"))
        import_module("onnxruntime.quantization.shape_inference").quant_pre_process(options["model"], prepared)
        reader = type("Images", (Reader, quantization.CalibrationDataReader), {})(options["calibration"])
        quantization.quantize_static(
            prepared,
            options["out"],
            reader,
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=options["reduce_range"],
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=getattr(quantization.CalibrationMethod, options["method"]),
            nodes_to_exclude=options.get("keep_float", []),
        )


def neural_compressor_int8(options: dict[str, Any]) -> None:
    """Neural Compressor's static quantisation with its defaults, in the form that is asked for."""
    given = import_module("neural_compressor")
    images = np.load(options["calibration"])

    class Batches:
        """What Neural Compressor takes as a data loader: batches of images and labels, which it does not use."""

        batch_size = BATCH

        def __iter__(self) -> Iterator[tuple[Any, Any]]:
            return ((images[row : row + BATCH], np.zeros(BATCH)) for row in range(0, len(images), BATCH))

    config = given.PostTrainingQuantConfig(
        approach="static", quant_format=options["form"], calibration_sampling_size=[len(images)]
    )
    quantized = import_module("neural_compressor.quantization").fit(
        options["model"], config, calib_dataloader=Batches()
    )
    quantized.save(options["out"])


def onnxconverter_common_fp16(options: dict[str, Any]) -> None:
    """`convert_float_to_float16` of onnxconverter-common."""
    _to_half(import_module("onnxconverter_common.float16"), options)


def onnxruntime_fp16(options: dict[str, Any]) -> None:
    """`convert_float_to_float16` of ONNX Runtime's transformers tools."""
    _to_half(import_module("onnxruntime.transformers.float16"), options)


def _to_half(module: Any, options: dict[str, Any]) -> None:
    """Convert; input and output keep their types, and the operators of `keep` compute in float32."""
    blocked = [*module.DEFAULT_OP_BLOCK_LIST, *options.get("keep", [])]
    half = module.convert_float_to_float16(onnx.load(options["model"]), keep_io_types=True, op_block_list=blocked)
    onnx.save(half, options["out"])


def onnxslim_graph(options: dict[str, Any]) -> None:
    """onnxslim with its defaults."""
    onnx.save(import_module("onnxslim").slim(onnx.load(options["model"])), options["out"])


def onnxoptimizer_graph(options: dict[str, Any]) -> None:
    """onnxoptimizer with its fusions and eliminations, to a fixed point."""
    optimizer = import_module("onnxoptimizer")
    passes = optimizer.get_fuse_and_elimination_passes()
    onnx.save(optimizer.optimize(onnx.load(options["model"]), passes, fixed_point=True), options["out"])


def onnxruntime_graph(options: dict[str, Any]) -> None:
    """ONNX Runtime's own optimiser, saved at a level."""
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, options["level"])
    settings.optimized_model_filepath = options["out"]
    onnxruntime.InferenceSession(options["model"], settings, providers=["CPUExecutionProvider"])


WAYS: dict[str, tuple[Callable[[dict[str, Any]], None], tuple[str, ...]]] = {
    "onnxruntime-int8": (onnxruntime_int8, ("onnxruntime", "onnx")),
    "neural-compressor-int8": (neural_compressor_int8, ("neural-compressor", "onnxruntime", "onnx")),
    "onnxconverter-common-fp16": (onnxconverter_common_fp16, ("onnxconverter-common", "onnx")),
    "onnxruntime-fp16": (onnxruntime_fp16, ("onnxruntime", "onnx")),
    "onnxslim-graph": (onnxslim_graph, ("onnxslim", "onnx")),
    "onnxoptimizer-graph": (onnxoptimizer_graph, ("onnxoptimizer", "onnx")),
    "onnxruntime-graph": (onnxruntime_graph, ("onnxruntime",)),
}
"""What each name runs, and the packages whose versions belong to the result."""


def main() -> None:
    """Do the work, and report."""
    reply = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # so that what libraries print goes to standard error
    run, packages = WAYS[sys.argv[1]]
    began = time.perf_counter()
    run(json.loads(sys.argv[2]))
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "versions": {name: metadata.version(name) for name in packages}}), file=reply)
    reply.flush()


if __name__ == "__main__":
    main()
