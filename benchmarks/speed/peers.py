"""The same network, images and threads through Keras, LiteRT, OpenVINO, PyTorch, ONNX Runtime and asl-edge, in turns.

    python -m pip install -r benchmarks/requirements-peers.txt
    python benchmarks/peers.py RUN ARRAYS [--name peers] [--threads 1,2] [--rounds 5] [--runs 40]
        [--images 500] [--openvino-python PYTHON]

RUN is a trained run folder of `alexnet`, ARRAYS the prepared arrays whose test split everybody answers. Each way runs
in a process of its own (benchmarks/peer.py) that waits while the others are measured; a round asks each in turn for
so many single images. Labels are compared with Keras's, accuracy with Keras's, paired over the images with 95%
intervals. Every peer is run in the settings that its documentation recommends for one image soon; several were tried
where it has several, and all are in the table. PYTHON is an interpreter with `onnxruntime-openvino` in place of
`onnxruntime`, since the two cannot be installed together: with it, asl-edge's `openvino` extra is measured beside
OpenVINO's own API. Writes results/NAME.{json,md,png}.
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
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

HERE = Path(__file__).resolve().parent
PLAIN = "ONNX Runtime, graph as tf2onnx leaves it"
OURS_ON_OPENVINO = "asl-edge[openvino], int8"
SAME_OPENVINO = "OpenVINO of asl-edge[openvino]'s environment, our INT8 file"
HALF = ", its floats in bfloat16"
"""What INT8 leaves in floats may be computed in either."""
BFLOAT16 = '{"CPU": {"INFERENCE_PRECISION_HINT": "bf16"}}'


@dataclass
class Way:
    """One line of the table."""

    name: str
    worker: str
    """Name in `peer.WAYS`."""
    precision: str
    options: dict[str, Any] = field(default_factory=dict)
    python: str = sys.executable


def main() -> None:
    """Make the files, start everybody, measure in turns, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--name", default="peers")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--images", type=int, help="held-out images that everybody answers; all by default")
    parser.add_argument("--agreement", type=float, default=0.995, help="labels that our INT8 shall leave as they are")
    parser.add_argument("--openvino-python", help="an interpreter that has onnxruntime-openvino")
    parser.add_argument("--only", nargs="*", help="ways whose name holds one of these words")
    options = parser.parse_args()
    from machine import describe_machine

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
    (HERE / "results" / f"{options.name}.json").write_text(json.dumps(results) + "\n")
    (HERE / "results" / f"{options.name}.md").write_text(markdown(results))
    plot(results, HERE / "results" / f"{options.name}.png")


def make_files(run: Path, folder: Path, agreement: float) -> dict[str, Any]:
    """Write every file that somebody runs; return the side of the images and how INT8 came about."""
    from asl_edge.export.build import Int8Choices, build, prepare
    from asl_edge.export.parity_images import calibration_images

    prepared = prepare(run)
    made: dict[str, Any] = {"size": prepared.source.input_size}
    for name, choices in (("fp32", {}), ("int8", {"int8": Int8Choices(wanted_agreement=agreement)})):
        built = build(prepared, name, **choices)
        (folder / f"{name}.onnx").write_bytes(built.to_bytes(None))
        made[name] = None if built.quantization is None else built.quantization.to_dict()
    plain = build(prepare(run, optimized=False), "fp32")
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
    """Return everybody who is measured."""
    plain, fp32, int8 = (str(folder / f"{name}.onnx") for name in ("plain", "fp32", "int8"))
    run = {"run": str(options.run)}
    found = [
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
            found.append(Way(OURS_ON_OPENVINO + name, "asl-edge", "INT8", mine, there))
            found.append(Way(SAME_OPENVINO + name, "openvino", "INT8", theirs, there))
    words = options.only or [""]
    return [way for way in found if way.name == PLAIN or any(word in way.name for word in words)]


class Peer:
    """A process that runs one way."""

    def __init__(self, way: Way, folder: Path, size: int, threads: int) -> None:
        self.way = way
        settings = way.options | {"threads": threads, "size": size, "images": str(folder / "images.npy")}
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "MKL_NUM_THREADS")}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_NUM_INTEROP_THREADS": "1"}
        self.said = (folder / f"{way.name}-{threads}.log".replace("/", "-")).open("w+")
        self.process = subprocess.Popen(
            [way.python, str(HERE / "peer.py"), way.worker, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
            env={**os.environ, **limits, **quiet, "PYTHONPATH": str(HERE.parent)},
        )
        self.ready = self.reply()

    def ask(self, question: dict[str, Any]) -> Any:
        """Ask for something; return the answer."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self.reply()

    def reply(self) -> Any:
        """Return what the process says next; RuntimeError with its last words where it has ended."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.said.seek(0)
            raise RuntimeError(f"{self.way.name}: {self.said.read()[-600:]}")
        return json.loads(line)

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()
        self.said.close()


def measure(
    options: argparse.Namespace, folder: Path, threads: int, labels: Any, results: dict[str, Any]
) -> dict[str, Any]:
    """Run everybody with so many threads; return samples by name, and add answers and versions to `results`."""
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
                time.sleep(0.3)  # threads of the one before stop waiting for work
                samples[peer.way.name]["ms"].append(peer.ask({"time": options.runs}))
            print(f"{threads} threads: round {number + 1} of {options.rounds}", file=sys.stderr)
    finally:
        for peer in peers:
            peer.end()
    results["labels"] = labels.tolist()
    return samples


def compared(results: dict[str, Any], name: str) -> dict[str, Any]:
    """Return labels as Keras's, accuracy, and the paired difference to Keras's with 95% interval."""
    from paired import paired_difference

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
    """Render the results as a page."""
    from machine import machine_line

    results = json.loads(json.dumps(results))
    counts = list(results["threads"])
    by_count = {count: medians(results, count) for count in counts}
    lines = [
        "# The same network everywhere",
        "",
        f"Run `{results['run']}`, {results['images']} held-out images, one at a time; milliseconds from the pixels "
        "of an image of the network's size to probabilities, median, 90th percentile, and how many times as fast as "
        "ONNX Runtime on the graph that tf2onnx leaves. Labels as Keras's; difference of accuracy to Keras in points, "
        "paired, with 95% interval.",
        "",
        "| way | precision | "
        + " | ".join(f"{count} thread{'s' * (count != '1')}, ms" for count in counts)
        + " | labels | accuracy | difference |",
        "|---|---|" + "---:|" * (len(counts) + 3),
    ]
    for name, row in results["threads"][counts[-1]].items():
        cells = []
        for count in counts:
            samples = [ms for turn in results["threads"][count].get(name, {"ms": []})["ms"] for ms in turn]
            if not samples:
                cells.append("")
                continue
            times = by_count[count][PLAIN] / by_count[count][name]
            cells.append(f"{by_count[count][name]:.2f}, {np.percentile(samples, 90):.2f} ({times:.2f})")
        row |= compared(results, name)
        low, high = row["difference_interval"]
        lines.append(
            f"| {name} | {row['precision']} | {' | '.join(cells)} | {row['agreement']:.2%} | {row['accuracy']:.2%} | "
            f"{100 * row['difference']:+.2f} ({100 * low:+.2f} to {100 * high:+.2f}) |"
        )
    quantization = results["made"]["int8"]
    kept = ", ".join(quantization["float_layers"]) or "none"
    lines += [
        "",
        f"Our INT8: ranges ({quantization['method']}, {quantization['headroom']:g} times as wide) from "
        f"{quantization['calibration_images']} training images; layers left in float32: {kept}. LiteRT's is made "
        "from the same images by TensorFlow's converter.",
        "",
        *against_openvino(results, by_count),
        *(
            f"Not run: {name}: `{error.splitlines()[-1] if error else ''}`\n"
            for name, error in results["failed"].items()
        ),
        f"{results['rounds']} rounds of {results['runs']} images each, in turns. "
        + ", ".join(f"{name} {' and '.join(known)}" for name, known in sorted(results["versions"].items()))
        + f". {machine_line(results['machine'])}",
        "",
    ]
    return "\n".join(lines)


def against_openvino(results: dict[str, Any], by_count: dict[str, dict[str, float]]) -> list[str]:
    """Say how long asl-edge takes on OpenVINO beside OpenVINO's own API, both computing alike."""
    parts = []
    for name, what in (("", "float32"), (HALF, "bfloat16")):
        mine, theirs = OURS_ON_OPENVINO + name, SAME_OPENVINO + name
        if all(mine in found and theirs in found for found in by_count.values()):
            each = ", ".join(f"{found[mine] / found[theirs]:.2f} ({count})" for count, found in by_count.items())
            parts.append(f"{each} with floats in {what}")
    said = "asl-edge[openvino] beside OpenVINO's own API of the same version, ratio of medians (threads): "
    return [f"{said}{'; '.join(parts)}.", ""] if parts else []


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw latency against labels that stay: to the left and up is better."""
    from matplotlib.figure import Figure

    results = json.loads(json.dumps(results))
    count = list(results["threads"])[-1]
    found = medians(results, count)
    figure = Figure(figsize=(9, 5), dpi=130, layout="constrained")
    axes = figure.subplots()
    names = sorted(found, key=lambda name: -found[name])
    colours = {"float32": "#6b8fb5", "bfloat16": "#b58f6b", "INT8": "#6bb58f"}
    for place, name in enumerate(names):
        precision = results["threads"][count][name]["precision"]
        ours = name.startswith("asl-edge")
        axes.barh(place, found[name], color=colours[precision], edgecolor="#12355b" if ours else "none", linewidth=2)
        agreement = compared(results, name)["agreement"]
        axes.text(found[name] * 1.05, place, f"{found[name]:.2f} ms, {agreement:.1%}", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(right=max(found.values()) * 3)
    axes.set_xlabel(f"milliseconds an image, median, {count} thread{'s' * (count != '1')}; labels as Keras's")
    axes.spines[["top", "right"]].set_visible(False)
    handles = [axes.barh(0, 0, color=colour, label=name) for name, colour in colours.items()]
    axes.legend(handles=handles, loc="upper right", frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    main()
