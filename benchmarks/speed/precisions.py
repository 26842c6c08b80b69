"""Every precision of a trained model vs. the graph as tf2onnx leaves it: labels, accuracy, size, latency, throughput.

    python -m benchmarks.speed.precisions RUN ARRAYS --name NAME [--rounds 5] [--runs 60]

RUN is a trained run folder, ARRAYS the prepared arrays whose test split all of them classify. Files are measured in
turns, each turn in a fresh process (as `asl-edge benchmark` does); ratios are of medians. Accuracy differences are
paired over the images, with 95% intervals (normal approximation of the difference of paired proportions, Agresti
2013, 11.1). Writes results/speed/precisions-NAME.{json,md}.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result

PLAIN = "tf2onnx unmodified"
THROUGHPUT = "fp32 for throughput"


def main() -> None:
    """Measure and write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--agreement", type=float, default=0.995, help="share of labels that INT8 must not change")
    parser.add_argument("--batch-sizes", default="1,32")
    options = parser.parse_args()
    from asl_edge.bench.runner import benchmark
    from asl_edge.bench.scenarios import Effort, variants

    with tempfile.TemporaryDirectory() as folder:
        files, made = make(options, Path(folder))
        accuracy = classify(options, files)
        sizes = [int(word) for word in options.batch_sizes.split(",")]
        report = benchmark(
            variants(list(files.values()), ["cpu"], sizes, [1, 2]),
            Effort(options.rounds, options.runs, 5),
            on_turn=lambda variant, turn: print(
                f"round {turn + 1}: {Path(variant.model).stem}, batch {variant.batch_size}, {variant.threads} threads",
                file=sys.stderr,
            ),
        )
    names = {str(path): name for name, path in files.items()}
    latency = [
        {
            "file": names[str(result.variant.model)],
            "batch_size": result.variant.batch_size,
            "threads": result.variant.threads,
            "median_ms": median(sample for turn in result.samples_ms for sample in turn),
            "round_medians_ms": [median(turn) for turn in result.samples_ms],
            "load_ms": median(result.load_ms),
            "peak_memory_mb": median(byte or 0 for byte in result.peak_memory_bytes) / 1e6,
        }
        for result in report.results
        if result.error is None
    ]
    results = {
        "name": options.name,
        "run": options.run.name,
        "made": made,
        "accuracy": accuracy,
        "latency": latency,
        "rounds": options.rounds,
        "runs": options.runs,
        "machine": describe_machine(),
    }
    write_result(f"speed/precisions-{options.name}", results, markdown(results))


def make(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Path], dict[str, Any]]:
    """Write every file; return them by name, and the cost of making them."""
    import tensorflow as tf
    import tf2onnx

    from asl_edge.export.build import Int8Choices, build
    from asl_edge.export.convert import convert
    from asl_edge.export.graph.toolchain import load

    started = time.perf_counter()
    prepared = convert(options.run)
    made: dict[str, Any] = {
        "load_seconds": prepared.load_seconds,
        "conversion_seconds": prepared.conversion_seconds,
        "optimization_seconds": prepared.optimization_seconds,
        "passes": [report.to_dict() for report in prepared.passes],
        "prepare_seconds": time.perf_counter() - started,
        "precisions": {},
    }
    files = {}
    for name in ("fp32", THROUGHPUT, "fp16-weights", "fp16", "int8"):
        precision = "fp32" if name == THROUGHPUT else name
        goal: Any = "throughput" if name == THROUGHPUT else "latency"
        built = build(prepared, precision, Int8Choices(target_agreement=options.agreement), optimize_for=goal)
        if built.throughput is not None and not built.throughput.taken:
            continue
        content = built.to_bytes(None)
        files[name] = folder / f"{name.replace(' ', '-')}.onnx"
        files[name].write_bytes(content)
        made["precisions"][name] = {
            "seconds": built.seconds,
            "parity_seconds": built.parity_seconds,
            "bytes": len(content),
            "parity": built.parity.summary(),
            "quantization": None if built.quantization is None else built.quantization.to_dict(),
        }
        if name == "fp32":
            spec = built.spec
    made["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    model, size = prepared.source.model, spec.input_size
    signature = [tf.TensorSpec((None, size, size, 3), tf.uint8, name="image")]
    function = tf.function(lambda image: {"probabilities": model(image, training=False)}, input_signature=signature)
    plain = tf2onnx.convert.from_function(function, input_signature=signature, opset=17)[0]
    load("onnx").helper.set_model_props(plain, spec.to_metadata())
    files = {PLAIN: folder / "tf2onnx.onnx", **files}
    files[PLAIN].write_bytes(plain.SerializeToString())
    made["precisions"][PLAIN] = {"bytes": files[PLAIN].stat().st_size}
    return files, made


def classify(options: argparse.Namespace, files: dict[str, Path]) -> dict[str, Any]:
    """Classify the test split with Keras and with every file."""
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.export.graph.logits import keras_outputs
    from asl_edge.export.source.open_source import open_source
    from asl_edge.metrics import expected_calibration_error
    from asl_edge.runtime.predictor import Predictor
    from benchmarks.harness.paired import paired_difference

    arrays = PreparedArrays.open(options.arrays)
    images, labels = arrays.rgb("test", slice(None)), np.asarray(arrays.split("test").labels)
    reference = keras_outputs(open_source(options.run).model, images).probabilities
    correct = reference.argmax(axis=1) == labels
    results: dict[str, Any] = {
        "Keras": {
            "images": len(labels),
            "accuracy": float(correct.mean()),
            "ece": expected_calibration_error(reference, labels),
        }
    }
    for name, path in files.items():
        with Predictor(path, provider="cpu") as predictor:
            probabilities = predictor.probabilities(images)
        mine = probabilities.argmax(axis=1) == labels
        results[name] = {
            "label_agreement": float((probabilities.argmax(axis=1) == reference.argmax(axis=1)).mean()),
            "accuracy": float(mine.mean()),
            **paired_difference(mine, correct),
            "ece": expected_calibration_error(probabilities, labels),
            "max_probability_difference": float(np.abs(probabilities - reference).max()),
        }
    return results


def markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    accuracy, made = results["accuracy"], results["made"]
    keras = accuracy["Keras"]
    rows = []
    for file, row in accuracy.items():
        if file != "Keras":
            low, high = (100 * bound for bound in row["difference_interval"])
            difference = f"{100 * row['difference']:+.2f} ({low:+.2f} to {high:+.2f})"
            cells = [f"{made['precisions'][file]['bytes'] / 1e6:.1f}", f"{row['label_agreement']:.2%}"]
            cells += [f"{row['accuracy']:.2%}", difference, f"{row['ece']:.3f}"]
            rows.append([file, *cells, f"{row['max_probability_difference']:.2g}"])
    head = ["file", "MB", "labels equal to Keras", "accuracy", "difference, points", "ECE"]
    return page(
        f"# Every precision of {results['name']}",
        "",
        f"Run `{results['run']}`, {keras['images']} held-out images; accuracy of Keras {keras['accuracy']:.1%}, ECE "
        f"{keras['ece']:.3f}. Difference of accuracy: paired, with 95% interval.",
        "",
        *markdown_table([*head, "largest difference of a probability"], rows),
        "",
        "Milliseconds per batch, median (speed-up over the graph of tf2onnx):",
        "",
        *latency_table(results),
        "",
        *costs(made),
        "",
        *markdown_table(
            ["pass", "nodes before", "after", "largest difference of a logit, relative"],
            [
                [row["name"], row["nodes_before"], row["nodes_after"], f"{row['max_logit_relative']:.1g}"]
                for row in made["passes"]
            ],
        ),
        "",
        f"{results['rounds']} rounds of {results['runs']} runs. {machine_line(results['machine'])}",
    )


def latency_table(results: dict[str, Any]) -> list[str]:
    """Return the table of latencies, per file and shape."""
    shapes = sorted({(row["batch_size"], row["threads"]) for row in results["latency"]})
    table = {(row["file"], row["batch_size"], row["threads"]): row for row in results["latency"]}
    head = ["file", *(f"batch {batch}, {threads} thread{'s' * (threads > 1)}" for batch, threads in shapes)]
    rows = []
    for file in results["accuracy"]:
        if file == "Keras":
            continue
        cells = []
        for shape in shapes:
            row, plain = table.get((file, *shape)), table.get((PLAIN, *shape))
            ms = f"{row['median_ms']:.2f} ({plain['median_ms'] / row['median_ms']:.2f})" if row and plain else ""
            cells.append(ms)
        one = table.get((file, *shapes[0]))
        rows.append([file, *cells, *([f"{one['load_ms']:.0f}", f"{one['peak_memory_mb']:.0f}"] if one else ["", ""])])
    return markdown_table([*head, "load ms", "peak MB"], rows)


def costs(made: dict[str, Any]) -> list[str]:
    """Return how INT8 came about, and how long everything took, as lines of text."""
    quantization = made["precisions"]["int8"]["quantization"]
    float_layers = ", ".join(quantization["float_layers"]) or "none"
    precisions = "; ".join(
        f"{precision} {row['seconds']:.1f} s and {row['parity_seconds']:.1f} s of parity"
        for precision, row in made["precisions"].items()
        if "seconds" in row
    )
    return [
        f"INT8 for {quantization['target']}: ranges ({quantization['method']}, {quantization['headroom']:g} times as "
        f"wide) from {quantization['calibration_images']} images ({quantization['calibrated_on']}); "
        f"layers left in float32: {float_layers}.",
        "",
        f"Time: loading the run {made['load_seconds']:.1f} s, conversion {made['conversion_seconds']:.1f} s, exact "
        f"graph passes with their comparisons {made['optimization_seconds']:.1f} s; {precisions}. Peak memory of all "
        f"that, TensorFlow included: {made['peak_memory_mb']:.0f} MB.",
    ]


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
