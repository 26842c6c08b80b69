"""INT8, FP16 and graph passes of the export vs. those of public libraries: same network, images, threads; one run.

    python -m venv PEERS && PEERS/bin/pip install -r benchmarks/requirements-quantization-peers.txt
    python -m venv INC && INC/bin/pip install -r benchmarks/requirements-neural-compressor.txt
    python -m benchmarks.accuracy.quantization_peers --peers PEERS/bin/python [--neural-compressor INC/bin/python]
        [--model RUN --name NAME] [--data DATA] [--work FOLDER] [--no-latency | --latency-only] [--rounds 12]
        [--runs 10]

The network is the pretrained model's, in float32, or that of a run folder, .keras or .onnx file (`--model`), whose
results go to a page of their own (`--name`, for example `alexnet`). Every library starts from the same file (INT8 and
FP16: the graph as our passes leave it; graph passes: the graph as tf2onnx leaves it) and calibrates on the same images.
The files are compared with float32 on images like those of training, on unseen signers, and on synthetic hands; none of
these images calibrated anything. DATA holds the folders `phone` (calibration, and images like those of training),
`dev-wall`, `dev-rooms` and `dev-webcam` (unseen signers), one folder per class; ASL_EDGE_DATA names it by default.
Without it, synthetic hands are all there is.

FOLDER keeps the files. `--latency-only` times those that are there and puts the times into the committed result, so
that the timing, which wants a quiet machine, can be repeated alone. Writes
results/accuracy/quantization-peers[-NAME].{json,md}.
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
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asl_edge.files import atomic
from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.paired import paired_difference
from benchmarks.harness.report import REPOSITORY, argument_parser, markdown_table, page, read_result, write_result

if TYPE_CHECKING:
    import onnx

    from asl_edge.export.source.open_source import Source

RESULT = "accuracy/quantization-peers"
CALIBRATION, COMPARED, LIKE = 256, 512, 580
"""Images of training to calibrate on, to stop our search by, and to judge on: none twice."""
CALIBRATION_HANDS, JUDGED_HANDS, JUDGED_SEED = 256, 290, 2029
BATCH = 16
EVERY_WEBCAM = 5
"""Neighbouring frames of one recording are nearly the same image."""
FEW = 290
"""Images of each set for FP16 and graph passes, which hardly change anything."""
CLEAR_MARGIN = 0.2
THREADS = (1, 2)
SAMPLES = 8
RESAMPLES = 4000
PARTS = {"int8": "asl-edge", "fp16": "asl-edge", "graph": "asl-edge"}
"""Name of our row in each part."""
FLOAT, TF2ONNX = "float32", "tf2onnx"
Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Outputs = tuple[Floats, Floats]
"""Logits and probabilities, float32 (N, C) each."""


@dataclass
class Way:
    """One row of a table."""

    name: str
    part: str
    worker: str | None = None
    """Name in `quantization_peer.WAYS`; None for a file that we write ourselves."""
    options: dict[str, Any] = field(default_factory=dict)
    compressor: bool = False
    """Whether it runs in Neural Compressor's environment."""

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.part}-{self.name}.onnx".replace(" ", "_").replace(",", "").replace("'", "")

    @property
    def start(self) -> str:
        """Name of the file that the others of its part are made from, and compared with."""
        return Way(TF2ONNX, "graph").file if self.part == "graph" else Way(FLOAT, "int8").file


@dataclass(frozen=True)
class ImageSet:
    """Images to judge on."""

    images: Images
    """uint8 (N, S, S, 3), RGB."""
    labels: npt.NDArray[np.int64]
    """int64 (N,): columns of the model."""

    def few(self, count: int | None) -> ImageSet:
        """Return `count` of them, evenly spread; all of them for None."""
        rows = np.unique(np.linspace(0, len(self.labels) - 1, count or len(self.labels)).astype(np.int64))
        return ImageSet(self.images[rows], self.labels[rows])


def ways() -> list[Way]:
    """Return all that is compared; the first of each part is what the others are compared with."""
    bits = {False: "8 bits", True: "7 bits"}
    return [
        Way(TF2ONNX, "graph"),
        Way("asl-edge", "graph"),
        Way("onnxslim", "graph", "onnxslim-graph"),
        Way("onnxoptimizer", "graph", "onnxoptimizer-graph"),
        Way("onnxruntime, basic", "graph", "onnxruntime-graph", {"level": "ORT_ENABLE_BASIC"}),
        Way("onnxruntime, extended", "graph", "onnxruntime-graph", {"level": "ORT_ENABLE_EXTENDED"}),
        Way(FLOAT, "int8"),
        Way("asl-edge", "int8"),
        Way("asl-edge, 8 bits", "int8"),
        *(
            Way(
                f"onnxruntime {method}, {bits[reduced]}",
                "int8",
                "onnxruntime-int8",
                {"method": method, "reduce_range": reduced},
            )
            for method in ("MinMax", "Entropy", "Percentile")
            for reduced in (False, True)
        ),
        Way(
            "onnxruntime MinMax, 7 bits, last layer in float32",
            "int8",
            "onnxruntime-int8",
            {"method": "MinMax", "reduce_range": True, "last_float": True},
        ),
        Way(
            "onnxruntime MinMax, 7 bits, from tf2onnx's graph",
            "int8",
            "onnxruntime-int8",
            {"method": "MinMax", "reduce_range": True, "from": Way(TF2ONNX, "graph").file},
        ),
        Way("neural-compressor, QDQ", "int8", "neural-compressor-int8", {"form": "QDQ"}, compressor=True),
        Way("neural-compressor, QOperator", "int8", "neural-compressor-int8", {"form": "default"}, compressor=True),
        Way("asl-edge", "fp16"),
        Way("asl-edge, weights only", "fp16"),
        Way("onnxconverter-common", "fp16", "onnxconverter-common-fp16"),
        Way("onnxruntime.transformers", "fp16", "onnxruntime-fp16"),
        Way("onnxconverter-common, Cast in float32", "fp16", "onnxconverter-common-fp16", {"keep": ["Cast"]}),
        Way("onnxruntime.transformers, Softmax in float32", "fp16", "onnxruntime-fp16", {"keep": ["Softmax"]}),
        Way("asl-edge, from tf2onnx's graph", "fp16"),
        Way(
            "onnxruntime.transformers, Softmax in float32, from tf2onnx's graph",
            "fp16",
            "onnxruntime-fp16",
            {"keep": ["Softmax"], "from": Way(TF2ONNX, "graph").file},
        ),
    ]


def main() -> None:
    """Make the files, compare them, time them, write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("--peers", default=sys.executable, help="the Python that has the peers' requirements")
    parser.add_argument("--neural-compressor", help="the Python that has Neural Compressor")
    parser.add_argument("--model", type=Path, help="run folder or model file; the pretrained model by default")
    parser.add_argument("--name", help="what to call its results")
    parser.add_argument("--data", type=Path, default=os.environ.get("ASL_EDGE_DATA"))
    parser.add_argument("--work", type=Path, help="folder that keeps the files; a temporary one by default")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--no-latency", action="store_true", help="leave the timing for later")
    when.add_argument("--latency-only", action="store_true", help="time the files in the work folder, nothing else")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    if options.latency_only and options.work is None:
        parser.error("--latency-only needs the --work folder of an earlier run.")
    if (options.model is None) != (options.name is None):
        parser.error("--model and --name belong together.")
    result = RESULT if options.name is None else f"{RESULT}-{options.name}"
    with tempfile.TemporaryDirectory() as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        results = read_result(result) if options.latency_only else measure(options, work)
        if not options.no_latency:
            results |= {"rounds": options.rounds, "runs": options.runs, "timed_on": describe_machine()}
            results["latency"] = timed(work, results["rows"], options.rounds, options.runs)
    results = json.loads(json.dumps(results))  # threads become text, as in the file
    write_result(result, results, markdown(results))


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Make all files and compare them; return everything but the times.

    Rows are kept in the work folder, so that a run that was interrupted continues with the next one.
    """
    from asl_edge.export.source.open_source import open_source
    from asl_edge.runtime.pretrained import pretrained_model

    source = open_source(options.model or pretrained_model())
    calibration, compared, judged, described = read_images(None if options.data is None else Path(options.data), source)
    np.save(work / "calibration.npy", calibration)
    np.save(work / "samples.npy", judged["synthetic hands"].images[:SAMPLES])
    made_for = {
        "network": options.name or "alexnet-edge-8",
        "calibration": described,
        "images": {name: len(group.labels) for name, group in judged.items()},
    }
    notes = work / "rows.json"
    rows = kept_rows(notes, made_for)
    ours = Ours(source, calibration, compared)
    reference: dict[str, dict[str, Outputs]] = {}
    for way in ways():
        if "error" not in rows.get(way.file, {"error": ""}):
            continue
        print(f"{way.part}: {way.name}", file=sys.stderr)
        row: dict[str, Any] = {"name": way.name, "part": way.part, "file": way.file}
        groups = {name: group.few(None if way.part == "int8" else FEW) for name, group in judged.items()}
        try:
            row |= ours.write(way, work) if way.worker is None else run_peer(way, options, work)
            row |= described_file(work / way.file)
            outputs = run_file(work / way.file, groups)
            if way.part not in reference:
                reference[way.part] = run_file(work / way.start, groups)
        except RuntimeError as error:
            row["error"] = str(error)
        else:
            before = reference[way.part]
            row["sets"] = {name: compare(outputs[name], before[name], groups[name].labels) for name in groups}
            row["same"] = {name: bits(labels(outputs[name]) == labels(before[name])) for name in groups}
        rows[way.file] = row
        atomic.write_text(notes, json.dumps({"made_for": made_for, "rows": rows}))
    return {
        **made_for,
        "few": FEW,
        "rows": [rows[way.file] for way in ways()],
        "machine": describe_machine(),
    }


def kept_rows(notes: Path, made_for: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows of an earlier run by file name; SystemExit where they were made from other images."""
    if not notes.exists():
        return {}
    kept = json.loads(notes.read_text(encoding="utf-8"))
    if kept["made_for"] != made_for:
        raise SystemExit(f"{notes} holds rows of other images. Name another folder with --work.")
    rows: dict[str, dict[str, Any]] = kept["rows"]
    return rows


def bits(values: npt.NDArray[np.bool_]) -> str:
    """Return booleans as digits."""
    return "".join("01"[int(value)] for value in values)


def read_images(data: Path | None, source: Source) -> tuple[Images, Images, dict[str, ImageSet], str]:
    """Return images to calibrate on, to stop our search by, and the sets to judge on; and calibration in words."""
    from asl_edge.export.synthetic_hands import calibration_hands

    hands = calibration_hands(source)[:CALIBRATION_HANDS]
    synthetic = synthetic_hands(source)
    if data is None:
        half = len(hands) // 2
        return hands[:half], hands[half:], {"synthetic hands": synthetic}, f"{half} synthetic hands"
    training = labelled_files(data / "phone", source)
    order = np.random.default_rng(0).permutation(len(training))[: CALIBRATION + COMPARED + LIKE]
    first, second, third = np.split(order, [CALIBRATION, CALIBRATION + COMPARED])
    unseen = [
        *labelled_files(data / "dev-wall", source),
        *labelled_files(data / "dev-rooms", source, skip="aug_"),
        *labelled_files(data / "dev-webcam", source, every=EVERY_WEBCAM),
    ]
    judged = {
        "images like training": read_files([training[row] for row in third], source),
        "unseen signers": read_files(unseen, source),
        "synthetic hands": synthetic,
    }
    described = f"{CALIBRATION} images of training and {len(hands)} synthetic hands"
    calibration, compared = (read_files([training[row] for row in rows], source).images for rows in (first, second))
    return np.concatenate([calibration, hands]), compared, judged, described


def labelled_files(folder: Path, source: Source, *, skip: str = "", every: int = 1) -> list[tuple[Path, int]]:
    """Return images whose folder is a class of the model, each with its column.

    Args:
        folder: holds CLASS/IMAGE or PERSON/CLASS/IMAGE.
        source: the model.
        skip: leave out files whose names begin so.
        every: take every so many images of each folder.
    """
    columns = {name: column for column, name in enumerate(source.classes)}
    found = []
    for place in sorted(path for path in folder.rglob("*") if path.is_dir() and path.name in columns):
        files = sorted(file for file in place.iterdir() if file.is_file() and not (skip and file.name.startswith(skip)))
        found += [(file, columns[place.name]) for file in files[::every]]
    return found


def read_files(files: list[tuple[Path, int]], source: Source) -> ImageSet:
    """Read images as the model takes them."""
    from asl_edge.imaging.preprocess import load

    images = np.stack([load(file, source.input_size, source.fit) for file, _ in files])
    return ImageSet(images, np.array([column for _, column in files], np.int64))


def synthetic_hands(source: Source) -> ImageSet:
    """Draw hands of other people, none of which calibrated anything or ended a search."""
    from asl_edge.data.synthetic.drawing import draw_frame
    from asl_edge.data.synthetic.scene import Variety, random_scene
    from asl_edge.imaging.preprocess import to_square

    varied = Variety(spread=1.5, left=0.5, backlit=0.2, idle=0.5, rare=0.3)
    size = source.input_size
    images, labels = np.empty((JUDGED_HANDS, size, size, 3), np.uint8), np.arange(JUDGED_HANDS) % len(source.classes)
    for number, image in enumerate(images):
        rng = np.random.default_rng([JUDGED_SEED, number])
        scene = random_scene(source.classes[labels[number]], rng, size, variety=varied)
        image[...] = to_square(draw_frame(scene, rng, size).image, size)
    return ImageSet(images, labels)


class Ours:
    """Our own files."""

    def __init__(self, source: Source, calibration: Images, compared: Images) -> None:
        self.source, self.calibration, self.compared = source, calibration, compared
        self.plain = from_tf2onnx(self.source.model)

    @cached_property
    def graph(self) -> onnx.ModelProto:
        """The graph as our passes leave it, from tf2onnx's."""
        from asl_edge.export.graph.edit import copy_of
        from asl_edge.export.passes.optimize import optimize

        graph = copy_of(self.plain)
        optimize(graph, self.compared)
        return graph

    def write(self, way: Way, work: Path) -> dict[str, Any]:
        """Write a file; return what belongs to its row."""
        import onnx

        from asl_edge.export.passes.float16 import to_half
        from asl_edge.export.passes.float16_weights import store_in_half

        began = time.perf_counter()
        row: dict[str, Any] = {}
        if way.name == TF2ONNX:
            graph = self.plain
        elif way.name == FLOAT or way.part == "graph":
            graph = self.graph
        elif way.part == "fp16":
            start = self.plain if TF2ONNX in way.name else self.graph
            graph = (store_in_half if "weights" in way.name else to_half)(start)
        else:
            graph, row["quantization"] = self.int8(127 if "8 bits" in way.name else 64)
        row["seconds"] = time.perf_counter() - began
        onnx.save(graph, str(work / way.file))
        return row

    def int8(self, weight_limit: int) -> tuple[onnx.ModelProto, dict[str, Any]]:
        """Return the graph in INT8, and how it came about."""
        from asl_edge.export.int8.mixed_precision_search import quantize_measured
        from asl_edge.export.int8.quantize import QuantizationConfig
        from asl_edge.export.synthetic_hands import unlike_training

        graph, report = quantize_measured(
            self.graph,
            self.calibration,
            self.compared,
            QuantizationConfig(weight_limit=weight_limit),
            unlike=unlike_training(self.source),
        )
        return graph, report.to_dict()


def from_tf2onnx(model: Any) -> onnx.ModelProto:
    """Convert a Keras model with tf2onnx, and leave the graph as it is."""
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="image")]
    function = tf.function(lambda image: {"probabilities": model(image, training=False)}, input_signature=signature)
    graph: onnx.ModelProto = tf2onnx.convert.from_function(function, input_signature=signature, opset=17)[0]
    return graph


def run_peer(way: Way, options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Let a library write its file, in its own environment.

    Raises:
        RuntimeError: it failed; the message holds the end of what it printed.
    """
    python = options.neural_compressor if way.compressor else options.peers
    if python is None:
        raise RuntimeError("not run: --neural-compressor was not given")
    settings = dict(way.options)
    start = settings.pop("from", way.start)
    if settings.pop("last_float", False):
        settings["keep_float"] = [last_layer(work / start)]
    settings |= {"model": str(work / start), "out": str(work / way.file), "calibration": str(work / "calibration.npy")}
    process = subprocess.run(
        [
            str(Path(python).absolute()),
            "-m",
            "benchmarks.accuracy.quantization_peer",
            str(way.worker),
            json.dumps(settings),
        ],
        cwd=work,  # Neural Compressor leaves its notes in the folder where it runs
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    if process.returncode:
        raise RuntimeError(process.stderr.strip()[-600:] or f"exit status {process.returncode}")
    reply: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return reply


def last_layer(path: Path) -> str:
    """Return the name of the last product with weights, which our INT8 leaves in float32."""
    import onnx

    return str([node.name for node in onnx.load(str(path)).graph.node if node.op_type in ("Gemm", "MatMul")][-1])


def described_file(path: Path) -> dict[str, Any]:
    """Return a file's size, nodes, operators outside standard ONNX, and what is known of its sums in INT8."""
    import onnx

    model = onnx.load(str(path))
    return {
        "bytes": path.stat().st_size,
        "nodes": len(model.graph.node),
        "foreign": sorted({node.op_type for node in model.graph.node if node.domain not in ("", "ai.onnx")}),
        "casts": sum(node.op_type == "Cast" for node in model.graph.node),
        "largest_pair": largest_pair(model),
    }


def largest_pair(model: onnx.ModelProto) -> int | None:
    """Return the largest sum of two products of a byte and an int8 weight; None in a file without such weights.

    x86 processors without VNNI add two neighbouring products in 16 bits (`vpmaddubsw`): above 32767 it is cut off.
    """
    import onnx
    from onnx import numpy_helper

    largest = None
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.INT8 or len(tensor.dims) < 2:
            continue
        whole = numpy_helper.to_array(tensor).astype(np.int64).ravel()
        for signed in (whole, -whole):  # products of one sign add up; those of two signs do not
            largest = max(largest or 0, 255 * int(np.sort(np.maximum(signed, 0))[-2:].sum()))
    return largest


def run_file(path: Path, groups: dict[str, ImageSet]) -> dict[str, Outputs]:
    """Run a file over each set by plain ONNX Runtime on the CPU.

    Raises:
        RuntimeError: ONNX Runtime cannot run it.
    """
    import onnx

    model = onnx.load(str(path))
    name = logits_name(model)
    if name not in {value.name for value in model.graph.output}:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    found = {}
    try:
        session = open_plainly(model.SerializeToString(), 2)
        for group, given in groups.items():
            batches = (given.images[row : row + BATCH] for row in range(0, len(given.labels), BATCH))
            parts = [session.run([name, "probabilities"], {"image": batch}) for batch in batches]
            logits, probabilities = (np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True))
            found[group] = (logits, probabilities)
    except Exception as error:  # ONNX Runtime's errors share no class
        raise RuntimeError(f"ONNX Runtime cannot run it: {error}") from error
    return found


def logits_name(model: onnx.ModelProto) -> str:
    """Return the tensor that the last Softmax reads, past the nodes that only change its type."""
    maker = {name: node for node in model.graph.node for name in node.output}
    node = maker["probabilities"]
    while node.op_type in ("Cast", "DequantizeLinear", "QuantizeLinear", "Identity"):
        node = maker[node.input[0]]
    return str(node.input[0])


def open_plainly(model: str | bytes, threads: int) -> Any:
    """Open a session with ONNX Runtime's defaults, but for the number of threads."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.log_severity_level = 3
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def labels(outputs: Outputs) -> npt.NDArray[np.int64]:
    """Return the predicted columns, int64 (N,)."""
    return np.asarray(outputs[1].argmax(axis=1))


def compare(outputs: Outputs, reference: Outputs, truth: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Return the agreement of two files' outputs, and their accuracies."""
    same = labels(outputs) == labels(reference)
    top = np.sort(reference[1], axis=1)[:, -2:]
    clear = top[:, 1] - top[:, 0] > CLEAR_MARGIN
    correct, before = labels(outputs) == truth, labels(reference) == truth
    logits = np.abs(outputs[0].astype(np.float64) - reference[0])
    return {
        "agreement": float(same.mean()),
        "clear_agreement": float(same[clear].mean()),
        "clear_images": int(clear.sum()),
        "accuracy": float(correct.mean()),
        **paired_difference(correct, before),
        "max_probability_difference": float(np.abs(outputs[1] - reference[1]).max()),
        "max_logit_difference": float(logits.max()),
        "largest_logit": float(np.abs(reference[0]).max()),
    }


def timed(work: Path, rows: list[dict[str, Any]], rounds: int, runs: int) -> dict[int, dict[str, list[float]]]:
    """Return the median milliseconds of each round, by threads and file; files take turns, forwards and backwards."""
    images = np.load(work / "samples.npy")
    files = [row["file"] for row in rows if "error" not in row]
    times: dict[int, dict[str, list[float]]] = {}
    for threads in THREADS:
        sessions = {file: open_plainly(str(work / file), threads) for file in files}
        times[threads] = {file: [] for file in files}
        for number in range(rounds):
            for file in files if number % 2 == 0 else files[::-1]:
                time.sleep(0.1)  # threads of the previous one stop spinning
                turn = []
                for run in range(-3, runs):
                    image = images[run % len(images)][None]
                    began = time.perf_counter_ns()
                    sessions[file].run(["probabilities"], {"image": image})
                    turn.append((time.perf_counter_ns() - began) / 1e6)
                times[threads][file].append(median(turn[3:]))
            print(f"{threads} threads: round {number + 1} of {rounds}", file=sys.stderr)
        del sessions
    return times


def ratio(theirs: list[float], ours: list[float]) -> tuple[float, float, float]:
    """Return the ratio of the medians of the rounds, and its 95% interval over resampled rounds (bootstrap)."""
    one, other = np.array(theirs), np.array(ours)
    rows = np.random.default_rng(0).integers(0, len(one), (RESAMPLES, len(one)))
    ratios = np.median(one[rows], axis=1) / np.median(other[rows], axis=1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(np.median(one) / np.median(other)), float(low), float(high)


def against_ours(row: dict[str, Any], ours: dict[str, Any], group: str) -> dict[str, Any]:
    """Return how many more labels of a set stay than with our file, paired, with 95% interval."""
    theirs, mine = (np.array([bit == "1" for bit in each["same"][group]]) for each in (row, ours))
    return paired_difference(theirs, mine)


def markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    counts = ", ".join(f"{count} {name}" for name, count in results["images"].items())
    lines = [
        "# Quantisation, FP16 and graph passes vs. public libraries",
        "",
        f"Network: {results['network']}. Every file is run by the same ONNX Runtime with its "
        f"defaults. Calibrated on {results['calibration']}; compared with float32 on {counts}, none of which "
        "calibrated anything or ended our search. 95% intervals: normal approximation for paired proportions; "
        "bootstrap over the rounds for ratios of times.",
        "",
        "## INT8",
        "",
        "Per channel, uint8 activations, int8 weights, after `quant_pre_process`; every library starts from the graph "
        "as our passes leave it. Labels: share that float32 gives too; points vs. ours: difference of that share on "
        "the hardest set. Exact: two neighbouring products of a byte and a weight fit into 16 bits, so that x86 "
        "without VNNI sums as every other processor does.",
        "",
        *int8_table(results),
        "",
        "## FP16",
        "",
        *fp16_table(results),
        "",
        "## Graph passes",
        "",
        "All start from the graph as tf2onnx leaves it. Difference: of a logit, relative to the largest logit.",
        "",
        *graph_table(results),
        "",
        *latency_note(results),
        *(
            f"Not run: {row['part']}, {row['name']}: `{row['error'].splitlines()[-1]}`\n"
            for row in results["rows"]
            if "error" in row
        ),
        f"Versions: {versions(results)}.",
        "",
        machine_line(results["machine"]),
    ]
    return page(*lines)


def latency_note(results: dict[str, Any]) -> list[str]:
    """Return how the times came about, as lines of text."""
    if "latency" not in results:
        return ["Times: not measured in this run.", ""]
    return [
        f"Times: one image, {results['rounds']} rounds of {results['runs']} runs, files in turns, forwards and "
        "backwards; median of the rounds' medians, and in brackets its ratio to ours with its interval (above 1: ours "
        f"is faster). Timed on {results['timed_on'].get('processor', 'the same machine')}.",
        "",
    ]


def versions(results: dict[str, Any]) -> str:
    """Return the libraries' versions in words."""
    known: dict[str, set[str]] = {}
    for row in results["rows"]:
        for name, version in row.get("versions", {}).items():
            known.setdefault(name, set()).add(version)
    return ", ".join(f"{name} {' and '.join(sorted(found))}" for name, found in sorted(known.items()))


def of_part(results: dict[str, Any], part: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows of a part that ran, and our own among them."""
    rows = [row for row in results["rows"] if row["part"] == part and "error" not in row]
    return rows, next(row for row in rows if row["name"] == PARTS[part])


def int8_table(results: dict[str, Any]) -> list[str]:
    """Return the table of INT8 as lines."""
    rows, ours = of_part(results, "int8")
    groups = list(results["images"])
    hardest = "unseen signers" if "unseen signers" in groups else groups[-1]
    head = ["file", "exact", "MB", *(f"labels, {name}" for name in groups)]
    head += [f"points vs. ours, {hardest}", f"accuracy, {hardest}", "points vs. float32", "largest difference"]
    cells = []
    for row in rows:
        judged = row["sets"][hardest]
        cells.append(
            [
                row["name"],
                exact_cell(row),
                f"{row['bytes'] / 1e6:.2f}",
                *(f"{row['sets'][name]['agreement']:.2%}" for name in groups),
                "" if row is ours or row["name"] == FLOAT else points(against_ours(row, ours, hardest)),
                f"{judged['accuracy']:.2%}",
                "" if row["name"] == FLOAT else points(judged),
                f"{judged['max_probability_difference']:.2f}",
                *latency_cells(results, row, ours),
            ]
        )
    return markdown_table([*head, *latency_head(results)], cells)


def fp16_table(results: dict[str, Any]) -> list[str]:
    """Return the table of FP16 as lines."""
    rows, ours = of_part(results, "fp16")
    groups = list(results["images"])
    head = ["file", "nodes", "Casts", "MB", *(f"labels, {name}" for name in groups)]
    head += ["largest difference of a probability", "of a logit"]
    cells = [
        [
            row["name"],
            row["nodes"],
            row["casts"],
            f"{row['bytes'] / 1e6:.2f}",
            *(f"{row['sets'][name]['agreement']:.2%}" for name in groups),
            f"{max(judged['max_probability_difference'] for judged in row['sets'].values()):.2g}",
            f"{max(judged['max_logit_difference'] for judged in row['sets'].values()):.2g}",
            *latency_cells(results, row, ours),
        ]
        for row in rows
    ]
    return markdown_table([*head, *latency_head(results)], cells)


def graph_table(results: dict[str, Any]) -> list[str]:
    """Return the table of graph passes as lines."""
    rows, ours = of_part(results, "graph")
    cells = [
        [
            row["name"],
            row["nodes"],
            ", ".join(row["foreign"]) or "none",
            f"{max(judged['max_logit_difference'] / judged['largest_logit'] for judged in row['sets'].values()):.1e}",
            *latency_cells(results, row, ours),
        ]
        for row in rows
    ]
    head = ["file", "nodes", "operators outside ONNX", "largest difference"]
    return markdown_table([*head, *latency_head(results)], cells, "lrlr" + "r" * len(latency_head(results)))


def exact_cell(row: dict[str, Any]) -> str:
    """Return whether every x86 sums a file exactly."""
    pair = row["largest_pair"]
    return "" if pair is None else "yes" if pair < 2**15 else "no"


def points(paired: dict[str, Any]) -> str:
    """Return a paired difference in points with its interval."""
    low, high = (100 * bound for bound in paired["difference_interval"])
    return f"{100 * paired['difference']:+.2f} ({low:+.2f} to {high:+.2f})"


def latency_head(results: dict[str, Any]) -> list[str]:
    """Return the titles of the columns of times."""
    return [f"{count} thread{'s' * (count != '1')}, ms" for count in results.get("latency", {})]


def latency_cells(results: dict[str, Any], row: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """Return a row's times, with ratios to ours."""
    cells = []
    for times in results.get("latency", {}).values():
        mine, reference = times[row["file"]], times[ours["file"]]
        value, low, high = ratio(mine, reference)
        cells.append(f"{median(mine):.2f}" + ("" if row is ours else f" ({value:.2f}; {low:.2f} to {high:.2f})"))
    return cells


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
