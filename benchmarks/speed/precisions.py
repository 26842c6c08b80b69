"""Every precision of a trained model beside the graph that tf2onnx leaves: labels, accuracy, size, latency, throughput.

    python benchmarks/precisions.py RUN ARRAYS --name NAME [--rounds 5] [--runs 60]

RUN is a trained run folder, ARRAYS the prepared arrays whose test split is answered by all of them. Files are measured
in turns, each turn in a fresh process (as `asl-edge benchmark` does); ratios are of medians. Accuracy differences are
paired over the images, with 95% intervals (normal approximation of the difference of paired proportions, Agresti
2013, 11.1). Writes results/precisions-NAME.{json,md}.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

RESULTS = Path(__file__).resolve().parent / "results"
PLAIN = "tf2onnx as it is"
THROUGHPUT = "fp32 for throughput"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("arrays", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--agreement", type=float, default=0.995, help="labels that INT8 shall leave as they are")
    parser.add_argument("--batch-sizes", default="1,32")
    options = parser.parse_args()
    from machine import describe_machine

    from asl_edge.bench.runner import benchmark
    from asl_edge.bench.scenarios import Effort, variants

    with tempfile.TemporaryDirectory() as folder:
        files, made = make(options, Path(folder))
        answers = answer(options, files)
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
        "run": options.run.name,
        "made": made,
        "answers": answers,
        "latency": latency,
        "rounds": options.rounds,
        "runs": options.runs,
        "machine": describe_machine(),
    }
    (RESULTS / f"precisions-{options.name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (RESULTS / f"precisions-{options.name}.md").write_text(markdown(options.name, results))


def make(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Path], dict[str, Any]]:
    """Write every file; return them by name, and what making them took."""
    import tensorflow as tf
    import tf2onnx

    from asl_edge.export.build import Int8Choices, build, prepare
    from asl_edge.export.graph.toolchain import load

    started = time.perf_counter()
    prepared = prepare(options.run)
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
        built = build(prepared, precision, Int8Choices(wanted_agreement=options.agreement), optimize_for=goal)
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


def answer(options: argparse.Namespace, files: dict[str, Path]) -> dict[str, Any]:
    """Let Keras and every file answer the test split."""
    from paired import paired_difference

    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.export.graph.logits import keras_outputs
    from asl_edge.export.source.open_source import open_source
    from asl_edge.metrics import expected_calibration_error
    from asl_edge.runtime.predictor import Predictor

    arrays = PreparedArrays.open(options.arrays)
    images, labels = arrays.rgb("test", slice(None)), np.asarray(arrays.split("test").labels)
    reference = keras_outputs(open_source(options.run).model, images).probabilities
    right = reference.argmax(axis=1) == labels
    found: dict[str, Any] = {
        "Keras": {
            "images": len(labels),
            "accuracy": float(right.mean()),
            "ece": expected_calibration_error(reference, labels),
        }
    }
    for name, path in files.items():
        with Predictor(path, provider="cpu") as predictor:
            answers = predictor.probabilities(images)
        mine = answers.argmax(axis=1) == labels
        found[name] = {
            "label_agreement": float((answers.argmax(axis=1) == reference.argmax(axis=1)).mean()),
            "accuracy": float(mine.mean()),
            **paired_difference(mine, right),
            "ece": expected_calibration_error(answers, labels),
            "max_probability_difference": float(np.abs(answers - reference).max()),
        }
    return found


def markdown(name: str, results: dict[str, Any]) -> str:
    """Render the results as a page."""
    from machine import machine_line

    answers, made = results["answers"], results["made"]
    lines = [
        f"# Every precision of {name}",
        "",
        f"Run `{results['run']}`, {answers['Keras']['images']} held-out images; Keras reads "
        f"{answers['Keras']['accuracy']:.1%} of them, ECE {answers['Keras']['ece']:.3f}. Difference of accuracy: "
        "paired, with 95% interval.",
        "",
        "| file | MB | labels as Keras | accuracy | difference, points | ECE | largest difference of a probability |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for file, row in answers.items():
        if file == "Keras":
            continue
        low, high = row["difference_interval"]
        lines.append(
            f"| {file} | {made['precisions'][file]['bytes'] / 1e6:.1f} | {row['label_agreement']:.2%} | "
            f"{row['accuracy']:.2%} | {100 * row['difference']:+.2f} ({100 * low:+.2f} to {100 * high:+.2f}) | "
            f"{row['ece']:.3f} | {row['max_probability_difference']:.2g} |"
        )
    lines += ["", "Milliseconds a batch, median (how many times as fast as the graph of tf2onnx):", ""]
    shapes = sorted({(row["batch_size"], row["threads"]) for row in results["latency"]})
    lines.append(
        "| file | " + " | ".join(f"batch {b}, {t} thread{'s' * (t > 1)}" for b, t in shapes) + " | load ms | peak MB |"
    )
    lines.append("|---|" + "---:|" * (len(shapes) + 2))
    table = {(row["file"], row["batch_size"], row["threads"]): row for row in results["latency"]}
    for file in answers:
        if file == "Keras":
            continue
        cells = []
        for shape in shapes:
            row, plain = table.get((file, *shape)), table.get((PLAIN, *shape))
            cells.append(
                f"{row['median_ms']:.2f} ({plain['median_ms'] / row['median_ms']:.2f})" if row and plain else ""
            )
        one = table.get((file, *shapes[0]))
        cells += [f"{one['load_ms']:.0f}", f"{one['peak_memory_mb']:.0f}"] if one else ["", ""]
        lines.append(f"| {file} | {' | '.join(cells)} |")
    quantization = made["precisions"]["int8"]["quantization"]
    kept = ", ".join(quantization["float_layers"]) or "none"
    lines += [
        "",
        f"INT8 for {quantization['target']}: ranges ({quantization['method']}, {quantization['headroom']:g} times as "
        f"wide) from "
        f"{quantization['calibration_images']} training images; layers left in float32: {kept}.",
        "",
        f"Made in: reading the run {made['load_seconds']:.1f} s, conversion {made['conversion_seconds']:.1f} s, exact "
        f"work on the graph with its comparisons {made['optimization_seconds']:.1f} s; "
        + "; ".join(
            f"{precision} {row['seconds']:.1f} s and {row['parity_seconds']:.1f} s of parity"
            for precision, row in made["precisions"].items()
            if "seconds" in row
        )
        + f". Peak memory of all that, TensorFlow included: {made['peak_memory_mb']:.0f} MB.",
        "",
        "| pass | nodes before | after | largest difference of a logit, relative |",
        "|---|---:|---:|---:|",
        *(
            f"| {row['name']} | {row['nodes_before']} | {row['nodes_after']} | {row['max_logit_relative']:.1g} |"
            for row in made["passes"]
        ),
        "",
        f"{results['rounds']} rounds of {results['runs']} runs. {machine_line(results['machine'])}",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
