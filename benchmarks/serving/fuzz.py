"""Damaged images to `asl-edge serve`: none may be a fault of the server.

    python -m benchmarks.serving.fuzz IMAGES [--count 20000]

Files of IMAGES (JPEG, PNG, WebP) are damaged at random: bytes changed, cut off, repeated, put together. Writes
results/serving/fuzz.{json,md}.
"""

from __future__ import annotations

import http.client
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result
from benchmarks.serving.server_process import ours, running

FORMATS = (".jpg", ".png", ".webp")


def main() -> None:
    """Send them."""
    parser = argument_parser(__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    options = parser.parse_args()
    files = sorted(path for path in options.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:8]
    seeds = []
    for path in files:
        image = cv2.imread(str(path))
        assert image is not None
        small = cv2.resize(image, (96, 96))
        seeds += [(suffix, bytes(cv2.imencode(suffix, small)[1])) for suffix in FORMATS]
    rng = np.random.default_rng(9)
    answers: dict[str, Counter[int]] = {suffix: Counter() for suffix in FORMATS}
    with running(ours()) as (address, process):
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
        for number in range(options.count):
            suffix, seed = seeds[number % len(seeds)]
            connection.request("POST", "/predict", damaged(seed, rng), {"Content-Type": "image/jpeg"})
            reply = connection.getresponse()
            reply.read()
            answers[suffix][reply.status] += 1
        alive = process.poll() is None
    values = {
        "count": options.count,
        "answers": {
            suffix: {str(status): count for status, count in counts.items()} for suffix, counts in answers.items()
        },
        "alive": alive,
        "machine": describe_machine(),
    }
    write_result("serving/fuzz", values, markdown(values))


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a damaged file."""
    kind, data = int(rng.integers(4)), bytearray(content)
    if kind == 1:
        return bytes(data[: int(rng.integers(1, len(data)))])
    if kind == 2:
        start, end = sorted(int(place) for place in rng.integers(0, len(data), 2))
        return bytes(data[:end] + data[start:])
    if kind == 3:
        return bytes(data[: int(rng.integers(1, len(data)))]) + rng.bytes(int(rng.integers(1, 400)))
    for _ in range(int(rng.integers(1, 20))):
        place = int(rng.integers(min(len(data), 60) if rng.random() < 0.5 else len(data)))
        data[place] = int(rng.integers(256))
    return bytes(data)


def markdown(values: dict[str, Any]) -> str:
    """Return the results as a page."""
    statuses = sorted({status for counts in values["answers"].values() for status in counts})
    rows = [
        [suffix, *(f"{counts.get(status, 0):,}" for status in statuses)] for suffix, counts in values["answers"].items()
    ]
    return page(
        "# Damaged images to the server",
        "",
        f"{values['count']:,} files of 96 x 96 pixels, damaged at random; answers by status. Afterwards the server was "
        f"{'running' if values['alive'] else 'gone'}.",
        "",
        *markdown_table(["format", *statuses], rows),
        "",
        machine_line(values["machine"]),
    )


if __name__ == "__main__":
    main()
