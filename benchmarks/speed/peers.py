"""The same network, images and threads through Keras, LiteRT, OpenVINO, PyTorch, ONNX Runtime and asl-edge, in turns.

    python -m pip install -r benchmarks/requirements-peers.txt
    python -m benchmarks.speed.peers RUN ARRAYS [--name peers] [--threads 1,2] [--rounds 5] [--runs 40]
        [--images 500] [--openvino-python PYTHON]

RUN is a trained run folder of `alexnet`, ARRAYS the prepared arrays whose test split all of them classify. Each runtime
runs in its own process (benchmarks/speed/peer.py) that waits while the others are measured; a round asks each in turn
for a number of single images. Labels are compared with Keras's, accuracy with Keras's, paired over the images with 95%
intervals. Every peer runs in the settings that its documentation recommends for low latency; where several were tried,
all are in the table. PYTHON is an interpreter with `onnxruntime-openvino` in place of `onnxruntime`, since the two
cannot be installed together: with it, asl-edge's `openvino` extra is measured next to OpenVINO's own API. Writes
results/speed/NAME.{json,md,png}.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.paired import paired_difference
from benchmarks.harness.report import REPOSITORY, RESULTS, argument_parser, markdown_table, page, write_result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {"float32": "#2f6fa8", "bfloat16": "#c2781f", "INT8": "#2a9d62"}
PLAIN = "ONNX Runtime, graph as tf2onnx leaves it"
OURS_ON_OPENVINO = "asl-edge[openvino], int8"
SAME_OPENVINO = "OpenVINO of asl-edge[openvino]'s environment, our INT8 file"
HALF = ", its floats in bfloat16"
"""What INT8 leaves in floating point may be computed in float32 or bfloat16."""
BFLOAT16 = '{"CPU": {"INFERENCE_PRECISION_HINT": "bf16"}}'


@dataclass
class Way:
    """One row of the table."""

    name: str
    worker: str
    """Name in `peer.WAYS`."""
    precision: str
    options: dict[str, Any] = field(default_factory=dict)
    python: str = sys.executable


def main() -> None:
    """Make the files, start every runtime, measure in turns, write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--name", default="peers")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--images", type=int, help="held-out images to classify; all by default")
    parser.add_argument("--agreement", type=float, default=0.995, help="share of labels that our INT8 must not change")
    parser.add_argument("--openvino-python", help="an interpreter that has onnxruntime-openvino")
    parser.add_argument("--only", nargs="*", help="runtimes whose name contains one of these words")
    options = parser.parse_args()
    from asl_edge.data.arrays import PreparedArrays

    arrays = PreparedArrays.open(options.arrays)
    labels = np.asarray(arrays.split("test").labels)
    chosen = np.sort(np.random.default_rng(0).permutation(len(labels))[: options.images])
    labels = labels[chosen]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "images.npy", arrays.rgb("test", chosen))
        made = make_files(options.run, folder, options.agreement)
        results: dict[str, Any] = {"made": made, "threads": {}, "answers": {}, "failed": {}, "versions": {}}
        for threads in map(int, options.threads.split(",")):
            results["threads"][threads] = measure(options, folder, threads, labels, results)
    results |= {
        "run": options.run.name,
        "images": len(labels),
        "rounds": options.rounds,
        "runs": options.runs,
        "machine": describe_machine(),
    }
    results = json.loads(json.dumps(results))  # threads become text, as in the file
    write_result(f"speed/{options.name}", results, markdown(results), indent=None)
    plot(results, RESULTS / "speed" / f"{options.name}.png")


def make_files(run: Path, folder: Path, agreement: float) -> dict[str, Any]:
    """Write every model file; return the side of the images and how INT8 was made."""
    from asl_edge.export.build import Int8Choices, build
    from asl_edge.export.convert import convert
    from asl_edge.export.parity_images import calibration_images

    prepared = convert(run)
    made: dict[str, Any] = {"size": prepared.source.input_size}
    for name, choices in (("fp32", None), ("int8", Int8Choices(target_agreement=agreement))):
        built = build(prepared, name, choices)
        (folder / f"{name}.onnx").write_bytes(built.to_bytes(None))
        made[name] = None if built.quantization is None else built.quantization.to_dict()
    plain = build(convert(run, optimized=False), "fp32")
    (folder / "plain.onnx").write_bytes(plain.to_bytes(None))
    images = calibration_images(prepared.source, None, 256).images
    make_litert(prepared.source.model, images, folder)
    return made


def make_litert(model: Any, images: Any, folder: Path) -> None:
    """Convert with TensorFlow's converter: float32, and INT8 calibrated on the images that ours is calibrated on."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    size = images.shape[1]
    signature = [tf.TensorSpec((1, size, size, 3), tf.float32)]
    function = tf.function(lambda image: model(image, training=False), input_signature=signature)
    frozen = convert_variables_to_constants_v2(function.get_concrete_function())
    for name in ("float", "int8"):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
        if name == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                [images[number : number + 1].astype(np.float32)] for number in range(len(images))
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.uint8
        (folder / f"{name}.tflite").write_bytes(converter.convert())


def ways(options: argparse.Namespace, folder: Path) -> list[Way]:
    """Return everything that is measured."""
    plain, fp32, int8 = (str(folder / f"{name}.onnx") for name in ("plain", "fp32", "int8"))
    run = {"run": str(options.run)}
    every = [
        Way(PLAIN, "onnxruntime", "float32", {"model": plain}),
        Way("Keras, model.predict", "keras-predict", "float32", run),
        Way("Keras, model(x)", "keras-call", "float32", run),
        Way("tf.function", "tf-function", "float32", run),
        Way("tf.function, XLA", "tf-function", "float32", {**run, "xla": True}),
        Way("LiteRT", "litert", "float32", {"model": str(folder / "float.tflite")}),
        Way("PyTorch", "pytorch", "float32", {"model": fp32}),
        Way("PyTorch, compiled", "pytorch", "float32", {"model": fp32, "compile": True}),
        Way("OpenVINO", "openvino", "float32", {"model": plain}),
        Way("asl-edge, fp32", "asl-edge", "float32", {"model": fp32}),
        Way("PyTorch, bfloat16", "pytorch", "bfloat16", {"model": fp32, "precision": "bf16"}),
        Way("OpenVINO, bfloat16", "openvino", "bfloat16", {"model": plain, "precision": "bf16"}),
        Way("LiteRT, INT8", "litert", "INT8", {"model": str(folder / "int8.tflite")}),
        Way("OpenVINO, our INT8 file", "openvino", "INT8", {"model": int8}),
        Way(f"OpenVINO, our INT8 file{HALF}", "openvino", "INT8", {"model": int8, "precision": "bf16"}),
        Way("asl-edge, int8", "asl-edge", "INT8", {"model": int8}),
    ]
    if options.openvino_python:
        there, extra = options.openvino_python, {"model": int8, "provider": "openvino"}
        chosen = {True: {"precision": "FP32"}, False: {"load_config": BFLOAT16}}
        for name, exact in (("", True), (HALF, False)):
            mine = {**extra, "provider_options": chosen[exact]}
            theirs = {"model": int8, "precision": "f32" if exact else "bf16"}
            every.append(Way(OURS_ON_OPENVINO + name, "asl-edge", "INT8", mine, there))
            every.append(Way(SAME_OPENVINO + name, "openvino", "INT8", theirs, there))
    words = options.only or [""]
    return [way for way in every if way.name == PLAIN or any(word in way.name for word in words)]


class Peer:
    """A process that runs one row of the table."""

    def __init__(self, way: Way, folder: Path, size: int, threads: int) -> None:
        self.way = way
        settings = way.options | {"threads": threads, "size": size, "images": str(folder / "images.npy")}
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "MKL_NUM_THREADS")}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_NUM_INTEROP_THREADS": "1"}
        self.log = (folder / f"{way.name}-{threads}.log".replace("/", "-")).open("w+")
        self.process = subprocess.Popen(
            [way.python, "-m", "benchmarks.speed.peer", way.worker, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, **limits, **quiet, "PYTHONPATH": str(REPOSITORY)},
        )
        self.ready = self.reply()

    def ask(self, request: dict[str, Any]) -> Any:
        """Send a request; return the reply."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.reply()

    def reply(self) -> Any:
        """Return the next reply of the process; RuntimeError with the end of its log if it has ended."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f"{self.way.name}: {self.log.read()[-600:]}")
        return json.loads(line)

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
        self.log.close()


def measure(
    options: argparse.Namespace, folder: Path, threads: int, labels: Any, results: dict[str, Any]
) -> dict[str, Any]:
    """Run everything with this many threads; return samples by name, and add labels and versions to `results`."""
    peers: list[Peer] = []
    samples: dict[str, Any] = {}
    try:
        for way in ways(options, folder):
            try:
                peer = Peer(way, folder, results["made"]["size"], threads)
            except RuntimeError as error:
                results["failed"][way.name] = str(error)
                print(f"failed: {error}", file=sys.stderr)
                continue
            peers.append(peer)
            samples[way.name] = {"precision": way.precision, "ready_seconds": peer.ready["ready_seconds"], "ms": []}
            for package, version in peer.ready["versions"].items():
                known = results["versions"].setdefault(package, [])
                known += [version] if version not in known else []
            if way.name not in results["answers"]:
                peer.ask({"answer": str(folder / "answer.npy")})
                results["answers"][way.name] = np.load(folder / "answer.npy").argmax(axis=1).tolist()
            print(f"{threads} threads: {way.name} is ready", file=sys.stderr)
        for number in range(options.rounds):
            for peer in peers if number % 2 == 0 else reversed(peers):
                time.sleep(0.3)  # threads of the previous one stop spinning
                samples[peer.way.name]["ms"].append(peer.ask({"time": options.runs}))
            print(f"{threads} threads: round {number + 1} of {options.rounds}", file=sys.stderr)
    finally:
        for peer in peers:
            peer.end()
    results["labels"] = labels.tolist()
    return samples


def compared(results: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the agreement with Keras's labels, accuracy, and the paired difference to Keras with 95% interval."""
    labels = np.array(results["labels"])
    keras = np.array(results["answers"].get("Keras, model(x)", results["answers"][PLAIN]))
    mine = np.array(results["answers"][name])
    return {
        "agreement": float((mine == keras).mean()),
        "accuracy": float((mine == labels).mean()),
        **paired_difference(mine == labels, keras == labels),
    }


def medians(results: dict[str, Any], threads: str) -> dict[str, float]:
    """Return the median of all samples by name."""
    return {name: median(ms for turn in row["ms"] for ms in turn) for name, row in results["threads"][threads].items()}


def markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    counts = list(results["threads"])
    by_count = {count: medians(results, count) for count in counts}
    head = ["runtime", "precision", *(f"{count} thread{'s' * (count != '1')}, ms" for count in counts)]
    rows = []
    for name, row in results["threads"][counts[-1]].items():
        against_keras = compared(results, name)
        low, high = (100 * bound for bound in against_keras["difference_interval"])
        shares = [f"{against_keras['agreement']:.2%}", f"{against_keras['accuracy']:.2%}"]
        difference = f"{100 * against_keras['difference']:+.2f} ({low:+.2f} to {high:+.2f})"
        cells = [latency_cell(results, by_count, count, name) for count in counts]
        rows.append([name, row["precision"], *cells, *shares, difference])
    quantization = results["made"]["int8"]
    float_layers = ", ".join(quantization["float_layers"]) or "none"
    versions = ", ".join(f"{name} {' and '.join(known)}" for name, known in sorted(results["versions"].items()))
    return page(
        "# The same network on every runtime",
        "",
        f"Run `{results['run']}`, {results['images']} held-out images, one at a time; milliseconds from the pixels of "
        "an image of the network's size to probabilities: median, 90th percentile, and speed-up over ONNX Runtime on "
        "the graph that tf2onnx leaves. Labels: share equal to Keras's; difference: of accuracy to Keras, in points, "
        "paired, with 95% interval.",
        "",
        *markdown_table([*head, "labels", "accuracy", "difference"], rows, "ll" + "r" * (len(counts) + 3)),
        "",
        f"Our INT8: ranges ({quantization['method']}, {quantization['headroom']:g} times as wide) from "
        f"{quantization['calibration_images']} images ({quantization['calibrated_on']}); layers left in float32: "
        f"{float_layers}. LiteRT's is made from the same images by TensorFlow's converter.",
        "",
        *against_openvino(results, by_count),
        *(
            f"Not run: {name}: `{error.splitlines()[-1] if error else ''}`\n"
            for name, error in results["failed"].items()
        ),
        f"{results['rounds']} rounds of {results['runs']} images each, in turns. {versions}. "
        + machine_line(results["machine"]),
    )


def latency_cell(results: dict[str, Any], by_count: dict[str, dict[str, float]], count: str, name: str) -> str:
    """Return median, 90th percentile and speed-up of one runtime with `count` threads."""
    samples = [ms for turn in results["threads"][count].get(name, {"ms": []})["ms"] for ms in turn]
    if not samples:
        return ""
    ratio = by_count[count][PLAIN] / by_count[count][name]
    return f"{by_count[count][name]:.2f}, {np.percentile(samples, 90):.2f} ({ratio:.2f})"


def against_openvino(results: dict[str, Any], by_count: dict[str, dict[str, float]]) -> list[str]:
    """Return how long asl-edge on OpenVINO takes relative to OpenVINO's own API, both with the same settings."""
    parts = []
    for name, what in (("", "float32"), (HALF, "bfloat16")):
        mine, theirs = OURS_ON_OPENVINO + name, SAME_OPENVINO + name
        if all(mine in row and theirs in row for row in by_count.values()):
            each = ", ".join(f"{row[mine] / row[theirs]:.2f} ({count})" for count, row in by_count.items())
            parts.append(f"{each} with floats in {what}")
    title = "asl-edge[openvino] vs. OpenVINO's own API of the same version, ratio of medians (threads): "
    return [f"{title}{'; '.join(parts)}.", ""] if parts else []


SHORT_NAMES = (
    ("OpenVINO of asl-edge[openvino]'s environment", "OpenVINO (older)"),
    (", its floats in bfloat16", ", bfloat16"),
    ("ONNX Runtime, graph as tf2onnx leaves it", "ONNX Runtime"),
)
"""Parts of names that are too long for a plot, and what stands there instead."""


def plot(results: dict[str, Any], path: Path) -> None:
    """Save `latency_figure`."""
    latency_figure(results).savefig(path)


def latency_figure(results: dict[str, Any]) -> Figure:
    """Return one dot per runtime on a logarithmic axis: latency, with the share of labels equal to Keras's."""
    from matplotlib.figure import Figure

    count = list(results["threads"])[-1]
    by_name = medians(results, count)
    names = sorted(by_name, key=lambda name: -by_name[name])
    figure = Figure(figsize=(8.4, 0.27 * len(names) + 1), dpi=100, layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    for place, name in enumerate(names):
        colour = COLOURS[results["threads"][count][name]["precision"]]
        ours = name.startswith("asl-edge")
        axes.plot(by_name[name], place, "o", color=colour, markersize=8, markeredgewidth=2 * ours, markeredgecolor="k")
        text = f"{by_name[name]:.2f} ms, {compared(results, name)['agreement']:.1%}"
        axes.annotate(text, (by_name[name], place), (9, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(range(len(names)), [short_name(name) for name in names], fontsize=9)
    ticks = [value for value in (1, 2, 5, 10, 20, 50, 100, 200, 500) if value < 2 * max(by_name.values())]
    axes.set_xticks(ticks, [str(value) for value in ticks])
    axes.minorticks_off()
    axes.set_xlim(0.85 * min(by_name.values()), 3 * max(by_name.values()))
    axes.grid(axis="both", color="0.9")
    axes.set_axisbelow(True)
    axes.set_xlabel(
        f"ms per image (median, {count} thread{'s' * (count != '1')}, log scale); share of labels as Keras's"
    )
    axes.spines[["top", "right"]].set_visible(False)
    for precision, colour in COLOURS.items():
        axes.plot([], [], "o", color=colour, label=precision)
    axes.plot([], [], "o", color="w", markeredgecolor="k", markeredgewidth=2, label="asl-edge")
    axes.legend(loc="upper right", fontsize=9)
    return figure


def short_name(name: str) -> str:
    """Return the name of a runtime as the plot shows it."""
    for long, short in SHORT_NAMES:
        name = name.replace(long, short)
    return name


if __name__ == "__main__":
    main()
