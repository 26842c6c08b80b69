"""Hundreds of thousands of hostile files, given to what reads files: images, videos, models, bundles, archives, arrays.

Each kind of input is mutated with knowledge of its format from a seed number, so that every input can be made again.
Batches run in processes of their own with limits of memory and time. What ends a process, takes longer than 10 s,
raises anything but asl-edge's own errors, or is accepted although it must not be, is a finding; findings are reduced
to their smallest form and written to WORK/findings. A stopped campaign continues where it was: WORK/progress.json.

    python -m benchmarks.reliability.hostile_inputs --work WORK --count 100000 --parallel 2
    python -m benchmarks.reliability.hostile_inputs --work WORK --kinds jpeg,onnx --count 1000

The result is written once every kind has `count` inputs. Linux only: limits are set by `setrlimit`.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from asl_edge.files import atomic
from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import REPOSITORY, argument_parser, markdown_table, page, write_result
from benchmarks.reliability import hostile_targets

RESULT = "reliability/hostile-inputs"
WORKER = ["-m", "benchmarks.reliability.hostile_targets"]
"""What Python runs in the process of a batch."""
BATCH = 2000
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where inputs are written: a disk would take most of the time."""
LONGEST_S = 10.0
"""Seconds without a new input after which a process hangs."""
STARTING_S = 120.0
"""Seconds until the first input: imports and seeds."""
REASONS = {
    "crash": "the process ended",
    "hang": f"longer than {LONGEST_S:.0f} s",
    "memory": "more than 1 GiB",
    "traceback": "an error that is not asl-edge's",
    "wrong": "accepted although it must not be",
}
"""Outcome that is a finding -> what it means."""


def run_batch(kind: str, seed: int, first: int, count: int) -> dict[str, Any]:
    """Run inputs `first` to `first + count` of a kind; an input that ends its process is noted, and the rest run on.

    Returns:
        `outcomes` (name -> number), `findings` (dictionaries), `slowest_s`, `peak_bytes`.
    """
    total: dict[str, Any] = {"outcomes": Counter(), "findings": [], "slowest_s": 0.0, "peak_bytes": 0}
    end = first + count
    while first < end:
        report, last, reason = _in_a_process(kind, seed, first, end - first)
        if report is not None:
            total["outcomes"].update(report["outcomes"])
            total["findings"] += report["findings"]
            total["slowest_s"] = max(total["slowest_s"], report["slowest_s"])
            total["peak_bytes"] = max(total["peak_bytes"], report["peak_bytes"])
            break
        if last is None:
            raise SystemExit(f"{kind}: the process for inputs from {first} does not start: {reason}")
        # What came before it in this process is not known: it runs again, without it.
        if last > first:
            before = run_batch(kind, seed, first, last - first)
            for name in ("outcomes", "findings"):
                total[name] += before[name]
            for name in ("slowest_s", "peak_bytes"):
                total[name] = max(total[name], before[name])
        outcome = "hang" if reason == "hang" else "crash"
        total["outcomes"][outcome] += 1
        total["findings"].append({"number": last, "outcome": outcome, "reason": reason})
        first = last + 1
    return total


def _in_a_process(kind: str, seed: int, first: int, count: int) -> tuple[dict[str, Any] | None, int | None, str]:
    """Run a batch; return its report, or None with the last input that was begun and why the process ended."""
    with tempfile.TemporaryDirectory(prefix="hostile-", dir=IN_MEMORY) as folder:
        words = (kind, str(seed), str(first), str(count), folder)
        process = subprocess.Popen(
            [sys.executable, *WORKER, *words],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        last: int | None = None
        line, reason = b"", ""
        with process, selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not waiting.select(LONGEST_S if last is not None else STARTING_S):
                    reason = "hang"
                    process.kill()
                    break
                received = process.stdout.read1(1 << 20)  # type: ignore[attr-defined]
                if not received:
                    break
                *whole, line = (line + received).split(b"\n")
                for text in whole:
                    if text.startswith(b"{"):
                        return json.loads(text), last, ""
                    last = int(text)
        return None, last, reason or f"exit code {process.returncode}"


def minimised(kind: str, content: bytes, outcome: str, seconds: float = 60.0) -> bytes:
    """Return a smaller input with the same outcome: blocks of it are left out for as long as that holds.

    Only for outcomes that the process survives; others are returned as they are.
    """
    if outcome not in ("traceback", "wrong", "memory"):
        return content
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        folder = Path(name)
        if hostile_targets.outcome_of(kind, content, folder, 0)[0] != outcome:
            return content  # it depends on more than the input
        size = max(1, len(content) // 2)
        while size >= 1 and time.monotonic() < until:
            place, shorter = 0, False
            while place < len(content) and time.monotonic() < until:
                candidate = content[:place] + content[place + size :]
                if hostile_targets.outcome_of(kind, candidate, folder, 0)[0] == outcome:
                    content, shorter = candidate, True
                else:
                    place += size
            if not shorter or size > len(content):
                size //= 2
    return content


class Campaign:
    """Counts that survive a stop.

    Args:
        work: folder for progress and findings.
        seed: of all inputs.
    """

    def __init__(self, work: Path, seed: int) -> None:
        self.work, self.seed = work, seed
        self.findings = work / "findings"
        self._progress = work / "progress.json"
        self.kinds: dict[str, dict[str, Any]] = {}
        if self._progress.exists():
            kept = json.loads(self._progress.read_text(encoding="utf-8"))
            if kept["seed"] != seed:
                raise SystemExit(f"{work} holds a campaign with seed {kept['seed']}. Name it, or another folder.")
            self.kinds = kept["kinds"]

    def add(self, kind: str, count: int, report: dict[str, Any]) -> None:
        """Add the report of a batch of `count` inputs, and save findings and progress."""
        known = self.kinds.setdefault(
            kind, {"inputs": 0, "outcomes": {}, "slowest_s": 0.0, "peak_bytes": 0, "seconds": 0.0, "findings": []}
        )
        known["inputs"] += count
        known["outcomes"] = dict(Counter(known["outcomes"]) + Counter(report["outcomes"]))
        for name in ("slowest_s", "peak_bytes"):
            known[name] = max(known[name], report[name])
        known["seconds"] += report["seconds"]
        for finding in report["findings"]:
            if not any(_same(finding, other) for other in known["findings"]):
                self._save(kind, finding)
                known["findings"].append(finding)
        atomic.write_json(self._progress, {"seed": self.seed, "kinds": self.kinds})

    def _save(self, kind: str, finding: dict[str, Any]) -> None:
        content = hostile_targets.input_of(kind, self.seed, finding["number"])
        name = f"{kind}-{finding['outcome']}-{finding['number']}"
        atomic.write_bytes(self.findings / f"{name}.bin", minimised(kind, content, finding["outcome"]))
        atomic.write_json(self.findings / f"{name}.json", finding)
        print(f"{kind} {finding['number']}: {finding['outcome']}: {finding['reason'][:200]}", flush=True)

    def run(self, kinds: list[str], count: int, parallel: int) -> None:
        """Run until every kind has `count` inputs, kinds in turns."""
        while True:
            batches = [
                (kind, done, min(BATCH, count - done))
                for kind in kinds
                if (done := self.kinds.get(kind, {}).get("inputs", 0)) < count
            ]
            if not batches:
                return
            with ThreadPoolExecutor(parallel) as pool:
                for (kind, _, size), report in zip(batches, pool.map(self._timed, batches), strict=True):
                    self.add(kind, size, report)
            shares = ", ".join(f"{kind} {self.kinds[kind]['inputs']}" for kind, _, _ in batches)
            print(f"{time.strftime('%H:%M:%S')}  {shares}", flush=True)

    def _timed(self, batch: tuple[str, int, int]) -> dict[str, Any]:
        started = time.perf_counter()
        report = run_batch(batch[0], self.seed, batch[1], batch[2])
        report["seconds"] = time.perf_counter() - started
        return report


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two findings look like one fault: the same outcome, and the same beginning of the reason."""
    return bool(one["outcome"] == other["outcome"] and one["reason"][:60] == other["reason"][:60])


def markdown(values: dict[str, Any]) -> str:
    """Render the page from its values."""
    outcomes = ("accepted", "refused", *REASONS)
    rows = [
        [
            kind,
            f"{one['inputs']:,}",
            *(f"{one['outcomes'].get(name, 0):,}" for name in outcomes),
            f"{one['slowest_s']:.2f} s",
            f"{one['peak_bytes'] / 2**20:.0f} MiB",
        ]
        for kind, one in values["kinds"].items()
    ]
    findings = [
        f"- {kind} {finding['number']}, {REASONS[finding['outcome']]}: {finding['reason']}"
        for kind, one in values["kinds"].items()
        for finding in one["findings"]
    ]
    total = sum(one["inputs"] for one in values["kinds"].values())
    return page(
        "# Hostile inputs",
        "",
        f"{total:,} files, mutated with knowledge of their format (seed {values['seed']}). Each batch of {BATCH:,} "
        "runs in a process that may allocate 1 GiB. `bundle-byte` is a bundle with one byte changed, which must be "
        "refused.",
        "",
        *markdown_table(["kind", "inputs", *outcomes, "slowest", "peak memory"], rows),
        "",
        "Findings:" if findings else "No findings.",
        *(["", *findings] if findings else []),
        "",
        f"Machine: {machine_line(values['machine'])}.",
    )


def main() -> None:
    """Run or continue a campaign, and write its result."""
    parser = argument_parser(__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for progress and findings")
    parser.add_argument("--count", type=int, default=100_000, help="inputs of each kind")
    parser.add_argument("--kinds", default=",".join(hostile_targets.TARGETS), help="comma-separated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parallel", type=int, default=1, help="processes at once")
    parser.add_argument("--again", action="store_true", help="forget the progress in WORK")
    parser.add_argument("--no-result", action="store_true", help="write no page of results")
    options = parser.parse_args()
    if options.again:
        shutil.rmtree(options.work, ignore_errors=True)
    campaign = Campaign(options.work, options.seed)
    kinds = options.kinds.split(",")
    unknown = set(kinds) - hostile_targets.TARGETS.keys()
    if unknown:
        parser.error(f"unknown kinds: {', '.join(sorted(unknown))}; there are {', '.join(hostile_targets.TARGETS)}")
    campaign.run(kinds, options.count, options.parallel)
    values = {
        "seed": options.seed,
        "kinds": {kind: campaign.kinds[kind] for kind in kinds},
        "machine": describe_machine(),
    }
    if options.no_result:
        print(markdown(values))
    else:
        write_result(RESULT, values, markdown(values))


if __name__ == "__main__":
    main()
