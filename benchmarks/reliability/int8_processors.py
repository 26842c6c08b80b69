"""INT8 of the pretrained model on processors with other instructions: the same file, the same images.

    python -m benchmarks.reliability.int8_processors --calibration FOLDER --images NAME=FOLDER [--images NAME=FOLDER]
        [--processor "NAME=COMMAND"] [--graph NAME=FILE] [--emulated 24] [--older] [--out int8-processors]

FOLDER is a folder of labelled images, one folder per class: training images for `--calibration`, images of unseen
signers for `--images`. Three INT8 graphs are made, with 8-bit and 7-bit weights, calibrated on FOLDER alone or with
synthetic hands too, and compared with float32 on all images on this machine. Then every COMMAND, which starts a
Python with NumPy and ONNX Runtime on another processor, classifies some of the images, and differences are counted.
The default is Haswell (AVX2, no VNNI) under qemu-user (Debian's package, version 7.2 or newer):

    --processor "Haswell=qemu-x86_64 -cpu Haswell-noTSX python3"
    --processor "Cortex-A72=qemu-aarch64 -cpu cortex-a72 -L ROOT ROOT/usr/bin/python3"     (ROOT: a system for Arm)

`--graph` adds an INT8 file of another version. `--older` compiles older_processor.c, which makes this processor use
its AVX2 kernels: for all images, and for times, which qemu cannot give. Times are CPU time of one thread, models
alternating, medians. Writes results/reliability/int8-processors.{json,md}.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROUNDS, RUNS = 25, 8
GRAPHS = {  # name -> largest weight, whether synthetic hands are used for calibration too
    "8 bits, training images": (127, False),
    "7 bits, training images": (64, False),
    "7 bits, and synthetic hands": (64, True),
}
EIGHT_BITS, AS_EXPORTED = "8 bits, training images", "7 bits, and synthetic hands"
UNSIGNED = "unsigned"


def predict(model: str, images: str, out: str) -> None:
    """Classify images one at a time; needs only NumPy and ONNX Runtime, so that any Python can run it."""
    session = _session(model)
    given = np.load(images)
    rows = [session.run(["probabilities"], {"image": given[row : row + 1]})[0] for row in range(len(given))]
    np.save(out, np.concatenate(rows))


def clock(images: str, out: str, *models: str) -> None:
    """Write CPU milliseconds per image of models in turns, one thread; those after `--exact` with unsigned weights."""
    place = models.index("--exact") if "--exact" in models else len(models)
    sessions = {model: _session(model) for model in models[:place]}
    sessions |= {f"{model} {UNSIGNED}": _session(model, exact=True) for model in models[place + 1 :]}
    given = np.load(images)[:RUNS]
    samples: dict[str, list[float]] = {model: [] for model in sessions}
    for _ in range(ROUNDS):
        for model, session in sessions.items():
            session.run(["probabilities"], {"image": given[:1]})
            for row in range(len(given)):
                began = time.process_time()
                session.run(["probabilities"], {"image": given[row : row + 1]})
                samples[model].append(1e3 * (time.process_time() - began))
    Path(out).write_text(json.dumps(samples))


def _session(model: str, exact: bool = False) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if exact:  # weights above 64 become unsigned bytes
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Make the graphs, compare them and write the result."""
    from benchmarks.harness.report import argument_parser, write_result

    parser = argument_parser(__doc__)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--images", action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--every", type=int, default=1, help="take one of so many images of each folder")
    parser.add_argument("--processor", action="append", metavar="NAME=COMMAND")
    parser.add_argument("--graph", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--emulated", type=int, default=24, help="images that an emulated processor classifies")
    parser.add_argument("--older", action="store_true")
    parser.add_argument("--out", default="int8-processors")
    options = parser.parse_args()
    report = measure(options)
    write_result(f"reliability/{options.out}", report, markdown(report))


def measure(options: Any) -> dict[str, Any]:
    """Return agreement, differences between processors and times."""
    from benchmarks.harness.machine import describe_machine

    haswell = f"Haswell (qemu-user)=qemu-x86_64 -cpu Haswell-noTSX {shlex.quote(sys.executable)}"
    processors = dict(text.split("=", 1) for text in options.processor or [haswell])
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        sets = {name: read(Path(path), options.every) for name, path in (text.split("=", 1) for text in options.images)}
        files = make(options.calibration, where)
        files |= {name: Path(file) for name, file in (text.split("=", 1) for text in options.graph)}
        report: dict[str, Any] = {"machine": describe_machine(), "calibration": options.calibration.name}
        report["bytes"] = {name: file.stat().st_size for name, file in files.items()}
        images, labels = (np.concatenate(parts) for parts in zip(*sets.values(), strict=True))
        rows = np.sort(np.random.default_rng(0).permutation(len(images))[: options.emulated])
        np.save(where / "all.npy", images)
        np.save(where / "some.npy", images[rows])
        here = {name: run([sys.executable], file, where / "all.npy", where) for name, file in files.items()}
        report["here"] = compared(here, labels, {name: len(part[1]) for name, part in sets.items()})
        with ThreadPoolExecutor() as pool:  # emulation is slow, and its time is not measured
            jobs = {
                name: pool.submit(others, shlex.split(command), files, here, rows, where)
                for name, command in processors.items()
            }
            report["processors"] = {name: job.result() for name, job in jobs.items()}
        report["cpu_ms"] = {"here": timed([sys.executable], files, where)}
        if options.older:
            older = compile_older(where)
            report["older"] = others(older, files, here, np.arange(len(images)), where, labels=labels)
            report["cpu_ms"]["AVX2 kernels"] = timed(older, files, where)
    return report


def read(folder: Path, every: int) -> tuple[Any, Any]:
    """Return the images and labels of a folder as the pretrained model takes them."""
    from asl_edge.evaluation.labelled_data import Wanted, open_labelled_data
    from asl_edge.runtime.onnx_file.metadata import read_spec
    from asl_edge.runtime.pretrained import pretrained_model

    spec = read_spec(pretrained_model())
    wanted = Wanted(spec.classes, spec.input_size, spec.fit)
    images, labels = [], []
    groups = sorted(path for path in folder.iterdir() if path.is_dir())
    people = [folder] if any(path.name in spec.classes for path in groups) else groups  # or one folder per person
    for person in people:
        labelled = open_labelled_data(person, wanted, split="test", bgr=False, classes=None, most=10**6)
        batches = list(labelled.batches(64))
        labelled.close()
        images.append(np.concatenate([batch.images for batch in batches])[::every])
        labels.append(np.concatenate([batch.labels for batch in batches])[::every])
    return np.concatenate(images), np.concatenate(labels)


def make(calibration: Path, where: Path) -> dict[str, Path]:
    """Write the float32 and INT8 graphs; no layer returns to float32, so that only the arithmetic differs."""
    from asl_edge.export.convert import convert
    from asl_edge.export.int8.mixed_precision_search import quantize_measured
    from asl_edge.export.int8.quantize import QuantizationConfig
    from asl_edge.export.parity_images import calibration_images
    from asl_edge.export.synthetic_hands import calibration_hands

    prepared = convert("pretrained", data=calibration)
    seen = calibration_images(prepared.source, calibration).images
    files = {"float32": where / "float32.onnx"}
    files["float32"].write_bytes(prepared.graph.SerializeToString())
    for number, (name, (limit, synthetic)) in enumerate(GRAPHS.items()):
        print(name, file=sys.stderr)
        images = np.concatenate([seen, calibration_hands(prepared.source)]) if synthetic else seen
        config = QuantizationConfig(weight_limit=limit)
        graph, _ = quantize_measured(prepared.graph, images, prepared.images.images, config, target_agreement=0.0)
        files[name] = where / f"int8-{number}.onnx"
        files[name].write_bytes(graph.SerializeToString())
    return files


def run(command: list[str], model: Path, images: Path, where: Path) -> Any:
    """Let a Python classify images; return probabilities."""
    with tempfile.NamedTemporaryFile(dir=where, suffix=".npy", delete=False) as file:
        out = Path(file.name)
    words = [*command, str(Path(__file__).resolve()), "--predict", str(model), str(images), str(out)]
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
    return np.load(out)


def timed(command: list[str], files: dict[str, Path], where: Path) -> dict[str, float]:
    """Return median CPU milliseconds of each file."""
    out, names = where / "clock.json", {str(file): name for name, file in files.items()}
    names[f"{files[EIGHT_BITS]} {UNSIGNED}"] = f"{EIGHT_BITS}, {UNSIGNED} weights"
    words = [*command, str(Path(__file__).resolve()), "--clock", str(where / "some.npy"), str(out)]
    words += [*map(str, files.values()), "--exact", str(files[EIGHT_BITS])]
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
    return {names[file]: median(samples) for file, samples in json.loads(out.read_text()).items()}


def others(
    command: list[str], files: dict[str, Path], here: dict[str, Any], rows: Any, where: Path, labels: Any = None
) -> dict[str, Any]:
    """Return for each INT8 file how the predictions of another processor differ from those on this machine."""
    measured = {}
    every = len(rows) == len(here[AS_EXPORTED])
    for name in (name for name in files if name != "float32"):
        outputs = run(command, files[name], where / ("all.npy" if every else "some.npy"), where)
        mine = here[name][rows]
        measured[name] = {
            "images": len(rows),
            "labels_equal": int((outputs.argmax(1) == mine.argmax(1)).sum()),
            "max_probability_difference": float(np.abs(outputs - mine).max()),
        }
        if labels is not None:
            reference = here["float32"]
            measured[name] |= {
                "agreement_with_float32": float((outputs.argmax(1) == reference.argmax(1)).mean()),
                "max_difference_to_float32": float(np.abs(outputs - reference).max()),
                "accuracy": float((outputs.argmax(1) == labels).mean()),
            }
        print(command[0], name, measured[name], file=sys.stderr)
    return measured


def compared(here: dict[str, Any], labels: Any, sizes: dict[str, int]) -> dict[str, Any]:
    """Return agreement with float32 and accuracy of each file on each set, and on all."""
    from asl_edge.export.parity import CLEAR_MARGIN, margins

    ends = np.cumsum([0, *sizes.values()])
    parts = {name: slice(ends[place], ends[place + 1]) for place, name in enumerate(sizes)} | {"all": slice(None)}
    reference, measured = here["float32"], {}
    clear = margins(reference) > CLEAR_MARGIN
    for name, outputs in here.items():
        same = outputs.argmax(1) == reference.argmax(1)
        difference = np.abs(outputs - reference).max(axis=1)
        measured[name] = {
            part: {
                "images": len(labels[rows]),
                "accuracy": float((outputs[rows].argmax(1) == labels[rows]).mean()),
                "label_agreement": float(same[rows].mean()),
                "clear_agreement": float(same[rows][clear[rows]].mean()),
                "max_probability_difference": float(difference[rows].max()),
                "mean_probability_difference": float(difference[rows].mean()),
            }
            for part, rows in parts.items()
        }
    return measured


def compile_older(where: Path) -> list[str]:
    """Compile older_processor.c; return the command that starts Python on such a processor."""
    library = where / "older.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", str(HERE / "older_processor.c"), "-o", str(library)], check=True)
    return ["env", f"LD_PRELOAD={library}", sys.executable]


def markdown(report: dict[str, Any]) -> str:
    """Return the report as tables."""
    from benchmarks.harness.machine import machine_line
    from benchmarks.harness.report import page

    here = report["here"]
    sets = [name for name in here["float32"] if name != "all"]
    counted = ", ".join(f"{name} ({here['float32'][name]['images']})" for name in sets)
    size = report["bytes"][AS_EXPORTED] / report["bytes"]["float32"]
    return page(
        "# INT8 on processors with other instructions",
        "",
        f"The pretrained model, calibrated on `{report['calibration']}`, on images of unseen signers: {counted}. No "
        "layer stays in float32.",
        "",
        "## Agreement with float32 on this machine (VNNI)",
        "",
        *agreement_table(here, sets),
        "",
        "## The same file on other processors, compared with its predictions here",
        "",
        *processors_table(report),
        *older_table(report),
        "",
        "## CPU time per image in milliseconds, one thread, models alternating, medians",
        "",
        *times_table(report["cpu_ms"]),
        "",
        f"The graph is {size:.0%} the size of the float32 one, with 7 bits as with 8 (both are stored as bytes).",
        "",
        f"Machine: {machine_line(report['machine'])}.",
    )


def agreement_table(here: dict[str, Any], sets: list[str]) -> list[str]:
    """Return the agreement of each graph with float32, per set of images."""
    from benchmarks.harness.report import markdown_table

    head = ["weights, calibrated on", *sets, "margin over 0.2", "largest difference", "mean difference", "accuracy"]
    rows = []
    for name, measured in here.items():
        whole = measured["all"]
        rows.append(
            [
                name,
                *(f"{measured[part]['label_agreement']:.2%}" for part in sets),
                f"{whole['clear_agreement']:.2%}",
                f"{whole['max_probability_difference']:.2f}",
                f"{whole['mean_probability_difference']:.4f}",
                f"{whole['accuracy']:.2%}",
            ]
        )
    return markdown_table(head, rows)


def processors_table(report: dict[str, Any]) -> list[str]:
    """Return how each file's predictions differ on each processor."""
    from benchmarks.harness.report import markdown_table

    older = {"this machine's AVX2 kernels (older_processor.c)": report["older"]} if "older" in report else {}
    rows = [
        [
            processor,
            name,
            f"{measured['labels_equal']} of {measured['images']}",
            f"{measured['max_probability_difference']:.1e}",
        ]
        for processor, files in (report["processors"] | older).items()
        for name, measured in files.items()
    ]
    return markdown_table(["processor", "weights, calibrated on", "same label", "largest difference"], rows, "llrr")


def older_table(report: dict[str, Any]) -> list[str]:
    """Return the agreement of the AVX2 kernels with float32; nothing where they were not measured."""
    from benchmarks.harness.report import markdown_table

    if "older" not in report:
        return []
    rows = [
        [
            name,
            f"{measured['agreement_with_float32']:.2%}",
            f"{measured['max_difference_to_float32']:.2f}",
            f"{measured['accuracy']:.2%}",
        ]
        for name, measured in report["older"].items()
    ]
    head = ["weights, calibrated on", "same label", "largest difference", "accuracy"]
    return ["", "## Agreement with float32 with AVX2 kernels, all images", "", *markdown_table(head, rows)]


def times_table(times: dict[str, dict[str, float]]) -> list[str]:
    """Return CPU times per kind of kernels."""
    from benchmarks.harness.report import markdown_table

    columns = list(times["here"])
    rows = [
        [kernels, *(f"{row[name]:.2f}" for name in columns), f"{row[AS_EXPORTED] / row['float32']:.2f}"]
        for kernels, row in times.items()
    ]
    return markdown_table(["kernels", *columns, "7 bits / float32"], rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--predict"]:
        predict(*sys.argv[2:])
    elif sys.argv[1:2] == ["--clock"]:
        clock(*sys.argv[2:])
    else:
        main()
