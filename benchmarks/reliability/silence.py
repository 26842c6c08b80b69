"""What a predictor that stays open for a minute opens and writes, as `strace` sees it: network and files.

    python -m benchmarks.reliability.silence IMAGE [--seconds 60]

Three processes are traced: `asl-edge predict`, a `Predictor` that classifies an image, stays open and classifies again,
and for comparison the same with ONNX Runtime's telemetry left on (`ORT_DISABLE_TELEMETRY=0`). All run with an empty
HOME and without a network, in a namespace of their own, so that the comparison sends nothing either. Needs Linux,
strace and unshare. Writes results/reliability/silence.{json,md}.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import REPOSITORY, argument_parser, markdown_table, page, write_result

_CALLS = "network,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,symlink"
_WRITING = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC)|^(mkdir|creat|rename|unlink|link|symlink)\w*\(")
_PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SUPPRESSING = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "ORT_RUNNING_UNIT_TESTS")
"""Variables with which ONNX Runtime sends nothing by itself."""

_OPEN_FOR_A_WHILE = """
import sys, time, asl_edge
with asl_edge.Predictor() as predictor:
    (first,) = predictor(sys.argv[1])
    time.sleep(float(sys.argv[2]))
    (again,) = predictor(sys.argv[1])
assert again.label == first.label
"""


def main() -> None:
    """Trace and write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    image = str(options.image.resolve())
    waiting = [sys.executable, "-c", _OPEN_FOR_A_WHILE, image, str(options.seconds)]
    results: dict[str, Any] = {
        "seconds": options.seconds,
        "processes": {
            "asl-edge predict": _traced([sys.executable, "-m", "asl_edge", "predict", image], {}),
            f"Predictor, open for {options.seconds:.0f} s": _traced(waiting, {}),
            "the same with telemetry on": _traced(waiting, {"ORT_DISABLE_TELEMETRY": "0"}),
        },
        "machine": describe_machine(),
    }
    write_result("reliability/silence", results, markdown(results))


def _traced(command: list[str], changes: dict[str, str]) -> dict[str, Any]:
    """Return how often a command opened files and sockets, and which files it wrote."""
    with tempfile.TemporaryDirectory() as folder:
        home, log = Path(folder, "home"), Path(folder, "log")
        home.mkdir()
        env = {name: value for name, value in os.environ.items() if name not in _SUPPRESSING}
        env.pop("ORT_DISABLE_TELEMETRY", None)  # set by `asl_edge` in this process, and to be set by the traced one
        env |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(REPOSITORY), **changes}
        trace = ["strace", "-f", "-qq", "-s", "400", "-e", f"trace={_CALLS}", "-o", str(log)]
        subprocess.run(["unshare", "-rn", *trace, *command], env=env, cwd=folder, check=True, capture_output=True)
        lines = [line.partition(" ")[2].strip() for line in log.read_text(errors="replace").splitlines()]
        done = [line for line in lines if not re.search(r"= -1 E[A-Z]+ ", line)]
        written = {match[1] for line in done if _WRITING.search(line) and (match := _PATH.search(line))}
        return {
            "files_opened": sum(line.startswith("open") for line in done),
            "network_calls": sum(
                re.match(r"(socket|connect|send\w+|getsockname|bind)\(", line) is not None for line in lines
            ),
            "sockets": sum(line.startswith("socket(") and "AF_INET" in line for line in lines),
            "written": sorted(path.replace(str(home), "~") for path in written if not path.startswith("/dev/")),
        }


def markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    rows = [
        [name, seen["files_opened"], seen["network_calls"], seen["sockets"], len(seen["written"])]
        for name, seen in results["processes"].items()
    ]
    on = results["processes"]["the same with telemetry on"]
    return page(
        "# What a predictor opens and writes",
        "",
        "System calls seen by `strace`, in a network namespace of its own and with an empty HOME.",
        "",
        *markdown_table(["process", "files opened", "network calls", "Internet sockets", "files written"], rows),
        "",
        "With telemetry on, ONNX Runtime writes: " + ", ".join(f"`{path}`" for path in on["written"]) + ".",
        "",
        machine_line(results["machine"]),
    )


if __name__ == "__main__":
    main()
