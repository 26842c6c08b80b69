"""How close each operator comes to what the machine can do: a roofline per layer.

    python -m benchmarks.speed.roofline FP32.onnx INT8.onnx [--threads 1,2] [--runs 100]

Both files hold the same network and were made by asl-edge. Times of single operators come from ONNX Runtime's own
profile, medians over the runs at batch 1; its bookkeeping between operators is what the whole run takes more. The
bound of an operator is the larger of two times: its multiply-adds at the highest rate that a large matrix product, or
any layer of the network, reaches here in the same arithmetic, and its weights at the rate at which memory is read;
weights that a cache holds from one run to the next can be below it. Peaks are measured in the same run, before and
after the network. Writes results/speed/roofline.{json,md}.
"""

from __future__ import annotations

import json
import re
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result

METHOD = (
    "Times of single operators come from ONNX Runtime's own profile, medians over the runs at batch 1; its bookkeeping "
    "between operators is what the whole run takes more. The bound of an operator is the larger of two times: its "
    "multiply-adds at the highest rate that a large matrix product, or any layer of the network, reaches here in the "
    "same arithmetic, and its weights at the rate at which memory is read; weights that a cache holds from one run to "
    "the next can be below it. Peaks are measured in the same run, before and after the network."
)
_SIDE = 2048
"""Of the matrices whose product measures the peak."""


def main() -> None:
    """Measure and write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("fp32", type=Path)
    parser.add_argument("int8", type=Path)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--runs", type=int, default=100)
    options = parser.parse_args()
    import onnx

    from asl_edge.export.graph.macs import macs_per_image

    model = onnx.load(options.fp32)
    arithmetic = macs_per_image(model)
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    weights = {node.name: sizes[node.input[1]] for node in model.graph.node if node.name in arithmetic}
    # A layer that ONNX Runtime fuses with its ReLU goes by the name of the ReLU.
    names = {
        node: {node} | {follower.name for follower in model.graph.node if is_relu_of(follower, made)}
        for node, made in ((node.name, node.output) for node in model.graph.node if node.name in arithmetic)
    }
    results: dict[str, Any] = {"runs": options.runs, "threads": {}, "machine": describe_machine()}
    for threads in map(int, options.threads.split(",")):
        before = measured_peaks(threads)
        measured = {
            "fp32": profile(options.fp32, threads, options.runs),
            "int8": profile(options.int8, threads, options.runs),
        }
        after = measured_peaks(threads)
        peaks = {name: max(before[name], after[name]) for name in before}
        layers = {
            name: [layer(node, names[node], measured[name], 4 if name == "fp32" else 1) for node in arithmetic]
            for name in measured
        }
        for row in (row for rows in layers.values() for row in rows):
            # A rate that a layer reaches is possible too, even where the matrix product stayed below it.
            name = f"{'int8' if row['bits'] == 8 else 'fp32'}_gmac"
            peaks[name] = max(peaks[name], arithmetic[row["name"]] / row["ms"] / 1e6)
        results["threads"][threads] = {"peaks": peaks}
        heavy = set().union(*names.values())
        for name, rows in layers.items():
            for row in rows:
                rate = peaks["int8_gmac" if row["bits"] == 8 else "fp32_gmac"]
                bounds = {
                    "arithmetic": arithmetic[row["name"]] / rate / 1e6,
                    "weights from memory": row["bits"] / 8 * weights[row["name"]] / peaks["memory_gb"] / 1e6,
                }
                row["limit"] = max(bounds, key=lambda bound: bounds[bound])
                row["bound_ms"] = bounds[row["limit"]]
            nodes, kinds = measured[name]["nodes"], measured[name]["kinds"]
            others = {event for event in nodes if plain(event) not in heavy}
            results["threads"][threads][name] = {
                "whole_ms": measured[name]["whole_ms"],
                "profiled_ms": measured[name]["profiled_ms"],
                "others_ms": sum(nodes[event] for event in others),
                "others": sorted({kinds[event] for event in others}),
                "rows": rows,
            }
    results = json.loads(json.dumps(results))  # threads become text, as in the file
    write_result("speed/roofline", results, markdown(results))


def measured_peaks(threads: int) -> dict[str, float]:
    """Return the highest rates of arithmetic and memory that are reached now."""
    return {
        "fp32_gmac": peak(threads, whole=False),
        "int8_gmac": peak(threads, whole=True),
        "memory_gb": memory(threads),
    }


def layer(node: str, names: set[str], measured: dict[str, Any], width: int) -> dict[str, Any]:
    """Return a layer's row of a profile; its operators go by one of `names`, with `width` bytes per number."""
    mine = [event for event in measured["nodes"] if plain(event) in names]
    wide = width if any("Q" in measured["kinds"][event] for event in mine) else 4
    return {
        "name": node,
        "node": node.split("/")[0],
        "kernel": ", ".join(sorted({measured["kinds"][event] for event in mine})),
        "ms": sum(measured["nodes"][event] for event in mine),
        "bits": 8 * wide,
    }


def is_relu_of(node: Any, made: Any) -> bool:
    """Whether a node is the ReLU of another node's output."""
    return node.op_type == "Relu" and node.input[0] in made


def plain(event: str) -> str:
    """Return the name of a node without the suffixes and prefixes of ONNX Runtime."""
    return re.sub(r"(_nchwc|_token_\d+|_nhwc)$", "", event).removeprefix("fused ")


def peak(threads: int, *, whole: bool) -> float:
    """Return the highest rate of a large product here, in 1e9 multiply-adds per second: float32, or 8-bit integers."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    if whole:
        # As a 1x1 convolution, for which ONNX Runtime has its best 8-bit kernel: matrix products are slower.
        given = rng.integers(0, 255, (1, _SIDE, 32, 32)).astype(np.uint8)
        scale = [numpy_helper.from_array(np.float32(0.01), "s"), numpy_helper.from_array(np.uint8(0), "z")]
        zero = numpy_helper.from_array(np.int8(0), "w0")
        kernel = numpy_helper.from_array(rng.integers(-60, 60, (_SIDE, _SIDE, 1, 1)).astype(np.int8), "w")
        node = helper.make_node("QLinearConv", ["a", "s", "z", "w", "s", "w0", "s", "z"], ["c"])
        stored, kind, shape = [*scale, zero, kernel], TensorProto.UINT8, [1, _SIDE, 32, 32]
        work = _SIDE**2 * 1024
    else:
        given = rng.normal(0, 1, (_SIDE, _SIDE)).astype(np.float32)
        stored = [numpy_helper.from_array(rng.normal(0, 1, (_SIDE, _SIDE)).astype(np.float32), "b")]
        node, kind, shape = helper.make_node("MatMul", ["a", "b"], ["c"]), TensorProto.FLOAT, [_SIDE, _SIDE]
        work = _SIDE**3
    values = [helper.make_tensor_value_info(name, kind, shape) for name in ("a", "c")]
    graph = helper.make_graph([node], "product", values[:1], values[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    times = []
    for _ in range(25):
        started = time.perf_counter()
        session.run(None, {"a": given})
        times.append(time.perf_counter() - started)
    return float(work / min(times) / 1e9)


def memory(threads: int) -> float:
    """Return how fast memory is read here, in 1e9 bytes per second: sums over arrays that no cache holds."""
    parts = np.array_split(np.ones(2**27, np.float32), threads)
    times = []
    for _ in range(10):
        workers = [threading.Thread(target=part.sum) for part in parts]
        started = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        times.append(time.perf_counter() - started)
    return float(4 * 2**27 / min(times) / 1e9)


def profile(path: Path, threads: int, runs: int) -> dict[str, Any]:
    """Return every operator's median time at batch 1 and its kind, and the whole run with and without profiling."""
    from asl_edge.runtime.engine.session import open_session
    from asl_edge.runtime.onnx_file.metadata import read_spec
    from asl_edge.spec import INPUT_NAME, OUTPUT_NAME

    size = read_spec(path).input_size
    inputs = {INPUT_NAME: np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)}

    def timed(session: Any) -> float:
        times = []
        for _ in range(runs + 10):
            started = time.perf_counter()
            session.run([OUTPUT_NAME], inputs)
            times.append((time.perf_counter() - started) * 1000)
        return median(times[10:])

    whole = timed(open_session(path, provider="cpu", threads=threads).session)
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(path, provider="cpu", threads=threads, profile=Path(folder, "profile")).session
        profiled = timed(session)
        events = json.loads(Path(session.end_profiling()).read_text())
    times: dict[str, list[float]] = defaultdict(list)
    kinds: dict[str, str] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times[name].append(event["dur"] / 1000)
            kinds[name] = event["args"]["op_name"]
    return {
        "nodes": {name: median(values[10:]) for name, values in times.items()},
        "kinds": kinds,
        "whole_ms": whole,
        "profiled_ms": profiled,
    }


def markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    lines = ["# Roofline: every layer against the machine's bounds", "", METHOD, ""]
    head = ["layer", "fp32 ms", "bound", "ratio", "limit", "int8 ms", "bound", "ratio", "limit", "kernel"]
    for threads, measured in results["threads"].items():
        peaks = measured["peaks"]
        rows = []
        for one, two in zip(measured["fp32"]["rows"], measured["int8"]["rows"], strict=True):
            rows.append([one["node"], *_row_cells(one), *_row_cells(two), two["kernel"]])
        others = [f"{measured[name]['others_ms']:.3f}" for name in ("fp32", "int8")]
        rows.append(["the rest", others[0], "", "", "", others[1], "", "", "", ""])
        totals: list[str] = []
        for name in ("fp32", "int8"):
            whole, bound = measured[name]["whole_ms"], sum(row["bound_ms"] for row in measured[name]["rows"])
            totals += [f"{whole:.2f}", f"{bound:.2f}", f"{whole / bound:.1f}", ""]
        rows.append(["**whole run, not profiled**", *totals, ""])
        lines += [
            f"## {threads} thread{'s' * (threads != '1')}",
            "",
            f"Peaks: float32 {peaks['fp32_gmac']:.0f}, 8-bit {peaks['int8_gmac']:.0f} billion multiply-adds per "
            f"second; memory {peaks['memory_gb']:.1f} GB per second.",
            "",
            *markdown_table(head, rows, "lrrrlrrrll"),
            "",
        ]
    return page(*lines, f"{results['runs']} runs. {machine_line(results['machine'])}")


def _row_cells(row: dict[str, Any]) -> list[str]:
    return [f"{row['ms']:.3f}", f"{row['bound_ms']:.3f}", f"{row['ms'] / row['bound_ms']:.1f}", row["limit"]]


if __name__ == "__main__":
    main()
