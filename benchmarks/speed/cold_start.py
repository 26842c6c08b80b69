"""One image, one process: wall time and peak memory of `asl-edge predict`.

    python -m benchmarks.speed.cold_start --model model.onnx [--image hand.jpg] [--python PYTHON] [--repeats 20]

Timed is the whole process, from its start to its end, files in the page cache. Its parts are measured next to it, in
turns: Python alone, the imports that nobody can avoid, the same prediction in the fewest lines without asl-edge.
`--python` names the interpreter of another environment, such as one with `asl-edge[cpu]` only. Not for Windows, which
does not report a child's peak memory in this way. Writes results/speed/cold-start.{json,md}.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result

WORKSHOP = ("tensorflow", "keras", "tf2onnx", "onnx", "sklearn", "matplotlib")
FEWEST_LINES = """
import sys, cv2, numpy, onnxruntime
image = cv2.cvtColor(cv2.resize(cv2.imread(sys.argv[2]), (224, 224)), cv2.COLOR_BGR2RGB)
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
print(session.run(None, {session.get_inputs()[0].name: image[None]})[0].argmax())
"""
LOADED = """
import sys
from asl_edge.cli import main
try: main(sys.argv[1:])
except SystemExit: pass
print("\\n" + " ".join(sorted(name for name in sys.modules if "." not in name)))
"""


def commands(python: str, model: Path, image: Path) -> dict[str, list[str]]:
    """Name -> command of everything that is timed."""
    predict = ["-m", "asl_edge", "predict", str(image), "--model", str(model)]
    return {
        "asl-edge predict": [python, *predict],
        "asl-edge predict --json": [python, *predict, "--json"],
        "fewest lines without asl-edge": [python, "-c", FEWEST_LINES, str(model), str(image)],
        "imports of NumPy, OpenCV, ONNX Runtime": [python, "-c", "import numpy, cv2, onnxruntime"],
        "asl-edge --version": [python, "-m", "asl_edge", "--version"],
        "Python alone": [python, "-c", "pass"],
    }


def time_once(command: list[str]) -> tuple[float, float]:
    """Run a command; return its wall time in ms and its peak resident memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # wait4 returns this child's own peak; this process stays smaller than any child, so its own does not show.
    _, status, usage = os.wait4(process.pid, 0)
    elapsed_ms = (time.perf_counter() - started) * 1000
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(command)}")
    return elapsed_ms, usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def import_profile(command: list[str]) -> list[dict[str, Any]]:
    """Return the import time of each top-level package's own modules, in ms, longest first."""
    timed = subprocess.run([command[0], "-X", "importtime", *command[1:]], capture_output=True, text=True, check=True)
    own: dict[str, float] = defaultdict(float)
    modules: dict[str, int] = defaultdict(int)
    for line in timed.stderr.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdigit():
            package = parts[2].strip().split(".")[0]
            package = package if package in ("numpy", "cv2", "onnxruntime", "asl_edge", "typer", "click", "rich") else (
                package if "pydantic" in package or package in WORKSHOP else "everything else"
            )  # fmt: skip
            own[package] += int(parts[0]) / 1000
            modules[package] += 1
    return [
        {"package": name, "own_ms": round(value, 1), "modules": modules[name]}
        for name, value in sorted(own.items(), key=lambda pair: -pair[1])
    ]


def loaded_modules(command: list[str]) -> list[str]:
    """Return the top-level packages that a prediction has imported by its end."""
    words = command[3:]  # after PYTHON -m asl_edge
    done = subprocess.run([command[0], "-c", LOADED, *words], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1].split()


def measure(python: str, model: Path, image: Path, repeats: int) -> dict[str, Any]:
    """Time every command in turns, forwards and backwards alternately; the first turn only warms the page cache."""
    timed = commands(python, model, image)
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in timed}
    for repeat in range(repeats + 1):
        for name in list(timed) if repeat % 2 else reversed(list(timed)):
            sample = time_once(timed[name])
            if repeat:
                samples[name].append(sample)
    loaded = loaded_modules(timed["asl-edge predict"])
    return {
        "model_bytes": model.stat().st_size,
        "image_bytes": image.stat().st_size,
        "repeats": repeats,
        "results": {
            name: {
                "median_ms": round(median(ms for ms, _ in values), 1),
                "min_ms": round(min(ms for ms, _ in values), 1),
                "max_ms": round(max(ms for ms, _ in values), 1),
                "peak_mb": round(max(mb for _, mb in values), 1),
                "samples_ms": [round(ms, 2) for ms, _ in values],
                "samples_peak_mb": [round(mb, 2) for _, mb in values],
            }
            for name, values in samples.items()
        },
        "import_profile": import_profile(timed["asl-edge predict"]),
        "workshop_packages_imported": [name for name in WORKSHOP if name in loaded],
    }


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    keys = ("median_ms", "min_ms", "max_ms", "peak_mb")
    imported = ", ".join(report["workshop_packages_imported"]) or "none"
    return page(
        "# One image, one process",
        "",
        f"{machine_line(report['machine'])}.",
        f"Model of {report['model_bytes'] / 1e6:.1f} MB, JPEG of {report['image_bytes'] / 1e3:.1f} kB, medians of "
        f"{report['repeats']} processes in turns, files in the page cache. Peak memory is the largest resident set.",
        "",
        *markdown_table(
            ["process", "median ms", "min ms", "max ms", "peak MB"],
            [[name, *(f"{row[key]:.0f}" for key in keys)] for name, row in report["results"].items()],
        ),
        "",
        f"Workshop packages imported by it ({', '.join(WORKSHOP)}): {imported}.",
        "",
        "Import profile of `asl-edge predict` (`-X importtime`, which itself slows imports down):",
        "",
        *markdown_table(
            ["package", "own ms", "modules"],
            [[row["package"], f"{row['own_ms']:.1f}", row["modules"]] for row in report["import_profile"]],
        ),
    )


def draw_image(folder: Path) -> Path:
    """Write a 200x200 JPEG, used when no image is given; in a separate process, since NumPy would enlarge this one."""
    path = folder / "image.jpg"
    code = (
        "import sys, cv2, numpy as np; a = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8);"
        "cv2.imwrite(sys.argv[1], cv2.GaussianBlur(a, (0, 0), 3))"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)
    return path


def main() -> None:
    """Measure and write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--image", type=Path, help="a 200x200 JPEG; drawn if not given")
    parser.add_argument("--python", default=sys.executable, help="interpreter of the environment to measure")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # users do not compile modules again in every process

    with tempfile.TemporaryDirectory() as folder:
        image = options.image or draw_image(Path(folder))
        report = measure(options.python, options.model.resolve(), image.resolve(), options.repeats)
    report = {"machine": describe_machine(), **report}
    write_result("speed/cold-start", report, markdown(report))


if __name__ == "__main__":
    main()
