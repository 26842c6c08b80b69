"""`asl-edge serve` under load, beside itself without batching and beside LitServe.

    python -m benchmarks.serving.load IMAGE.jpg --litserve PYTHON [--seconds 8] [--rounds 3]

PYTHON is that of an environment with litserve and asl-edge. IMAGE is sent by `hey` from 1, 8 and 64 clients, the
servers in turns; at last from 512 clients to ours alone, whose queue holds 64. LitServe gets it as base64 in JSON. The
load tool has the same cores. Writes results/serving/load.{json,md}.
"""

from __future__ import annotations

import base64
import json
import statistics
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result
from benchmarks.serving.server_process import hey, ours, running

CLIENTS = (1, 8, 64)
MANY = 512
OURS, UNBATCHED, LITSERVE = "asl-edge serve", "without batching", "LitServe"


def main() -> None:
    """Measure."""
    parser = argument_parser(__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--litserve", help="a Python with litserve and asl-edge")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ways = {OURS: (ours("--queue", "128"), "/healthz"), UNBATCHED: (ours("--queue", "128", "--batch", "1"), "/healthz")}
    if options.litserve:
        ways[LITSERVE] = ([options.litserve, "-m", "benchmarks.serving.litserve_app", "PORT"], "/health")
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        in_json = Path(folder) / "image.json"
        in_json.write_text(json.dumps({"image": base64.b64encode(options.image.read_bytes()).decode()}))
        for _ in range(options.rounds):
            for name, (command, ready) in ways.items():
                body = in_json if name == LITSERVE else options.image
                with running(command, ready) as (address, _):
                    hey(f"{address}/predict", body, 8, 2)  # warms it up
                    runs += [measured(name, address, body, clients, options.seconds) for clients in CLIENTS]
                    print(name, runs[-1], flush=True)
    with running(ours("--queue", "64")) as (address, _):
        many = measured(OURS, address, options.image, MANY, options.seconds)
    values = {
        "image_bytes": options.image.stat().st_size,
        "seconds": options.seconds,
        "runs": runs,
        "many": many,
        "machine": describe_machine(),
    }
    write_result("serving/load", values, markdown(values))


def measured(name: str, address: str, body: Path, clients: int, seconds: float) -> dict[str, Any]:
    """Return what a load was answered."""
    load = hey(f"{address}/predict", body, clients, seconds)
    statuses, times = np.array(load.statuses), np.array(load.times) * 1e3
    good, refused = times[statuses == 200], times[statuses != 200]
    return {
        "server": name,
        "clients": clients,
        "per_second": len(good) / seconds,
        "p50": float(np.median(good)),
        "p99": float(np.percentile(good, 99)),
        "statuses": {str(status): count for status, count in sorted(Counter(load.statuses).items())},
        "refused_p99": float(np.percentile(refused, 99)) if len(refused) else None,
    }


def markdown(values: dict[str, Any]) -> str:
    """Return the results as a page."""
    servers = list(dict.fromkeys(run["server"] for run in values["runs"]))

    def median(server: str, clients: int, what: str) -> float:
        runs = [run for run in values["runs"] if (run["server"], run["clients"]) == (server, clients)]
        return float(statistics.median(run[what] for run in runs))

    rows = []
    for clients in CLIENTS:
        for server in servers:
            errors = sum(
                count
                for run in values["runs"]
                if (run["server"], run["clients"]) == (server, clients)
                for status, count in run["statuses"].items()
                if status != "200"
            )
            rate = median(server, clients, "per_second")
            rows.append([
                f"{clients}",
                server,
                f"{rate:.0f}",
                f"{median(OURS, clients, 'per_second') / rate:.2f}",
                f"{median(server, clients, 'p50'):.1f}",
                f"{median(server, clients, 'p99'):.1f}",
                str(errors),
            ])  # fmt: skip
    many = values["many"]
    peak = max(median(OURS, clients, "per_second") for clients in CLIENTS)
    answers = ", ".join(f"{count} times {status}" for status, count in many["statuses"].items())
    rounds = len(values["runs"]) // len(CLIENTS) // len(servers)
    refused = "" if many["refused_p99"] is None else f" 99% of the refusals came within {many['refused_p99']:.0f} ms."
    return page(
        "# The server under load",
        "",
        f"One JPEG of {values['image_bytes'] / 1000:.0f} kB, the pretrained model, {values['seconds']:.0f} seconds "
        f"each, {rounds} rounds in turns, medians; the load tool (hey) shares the cores. Times in ms.",
        "",
        *markdown_table(
            ["clients", "server", "images/s", "ours is times as fast", "p50", "p99", "errors"], rows, "rlrrrrr"
        ),
        "",
        f"{MANY} clients, a queue of 64: {many['per_second']:.0f} images/s ({many['per_second'] / peak:.0%} of the "
        f"most above), p50 {many['p50']:.0f} ms, p99 {many['p99']:.0f} ms of the accepted; {answers}.{refused}",
        "",
        machine_line(values["machine"]),
    )


if __name__ == "__main__":
    main()
