"""From nothing to letters: a fresh environment with the extra `cpu` alone, then `asl-edge predict` on ten images.

    python benchmarks/first_minute.py IMAGES [--count 10] [--repeats 5]

IMAGES is a folder of labelled ones; `--count` of them are taken, evenly spread, augmented ones (`aug_*`) left out.
Writes results/model-in-the-box/first-minute.json and .md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from machine import describe_machine, machine_line

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "model-in-the-box"
WORKSHOP = ("tensorflow", "keras", "tf2onnx", "onnx", "sklearn", "matplotlib")


def main() -> None:
    """Install, predict, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    files = sorted(path.resolve() for path in options.images.rglob("*.jpg") if not path.name.startswith("aug_"))
    files = [files[place * len(files) // options.count] for place in range(options.count)]
    with tempfile.TemporaryDirectory() as scratch:
        environment = Path(scratch) / "environment"
        began = time.perf_counter()
        venv.create(environment, with_pip=True)
        tools = environment / ("Scripts" if sys.platform == "win32" else "bin")
        run(tools / "python", "-m", "pip", "install", "--quiet", f"{ROOT}[cpu]")
        install_seconds = time.perf_counter() - began
        code = f"from importlib.util import find_spec; print([name for name in {WORKSHOP} if find_spec(name)])"
        present = run(tools / "python", "-c", code).strip()
        size = sum(path.stat().st_size for path in environment.rglob("*") if path.is_file() and not path.is_symlink())
        seconds, answers = [], []
        for _ in range(options.repeats):
            began = time.perf_counter()
            printed = run(tools / "asl-edge", "predict", *files, "--json")
            seconds.append(time.perf_counter() - began)
            answers = [json.loads(line) for line in printed.splitlines()]
    values = {
        "install_seconds": install_seconds,
        "environment_bytes": size,
        "workshop_packages_present": present,
        "predict_seconds": seconds,
        "answers": [
            {"right": Path(answer["source"]).parent.name, **{k: answer[k] for k in ("label", "confidence", "accepted")}}
            for answer in answers
        ],
        "machine": describe_machine(),
    }
    write(values)


def run(*words: Any) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, cwd="/")
    return done.stdout


def write(values: dict[str, Any]) -> None:
    """Write first-minute.json and first-minute.md."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "first-minute.json").write_text(json.dumps(values, indent=2) + "\n")
    rows = values["answers"]
    right = sum(row["label"] == row["right"] for row in rows)
    given = [row for row in rows if row["accepted"]]
    lines = [
        "# The first minute: a fresh environment, ten photographs of strangers\n",
        f"- environment with `asl-edge[cpu]`: {values['install_seconds']:.0f} s (packages from a cache nearby), "
        f"{values['environment_bytes'] / 1e6:.0f} MB; workshop packages present: {values['workshop_packages_present']}",
        f"- `asl-edge predict` of {len(rows)} photographs, whole process: median "
        f"{statistics.median(values['predict_seconds']):.2f} s of {len(values['predict_seconds'])} "
        f"(first {values['predict_seconds'][0]:.2f} s)",
        f"- best class right: {right} of {len(rows)}; answered: {len(given)}, of them right: "
        f"{sum(row['label'] == row['right'] for row in given)}\n",
        "| right | answer | confidence | |",
        "|---|---|---:|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['right']} | {row['label']} | {row['confidence']:.2f} | {'' if row['accepted'] else 'not sure'} |"
        )
    lines.append(f"\n{machine_line(values['machine'])}")
    (RESULTS / "first-minute.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
