"""Kill a training of AlexNet with SIGKILL again and again, resume it, and check that nothing is lost.

    python -m benchmarks.reliability.kill_campaign [--kills 200] [--seed 0] [--epochs 6] [--at-once 2]

Each process trains until it is killed: at a random moment, or before, inside or after the write, the fsync, the rename,
the link or the removal of a file of the run folder. The next process continues with --resume. When a run is finished,
its history and its weights are compared with those of an undisturbed run, and a new run starts. Several runs may be
trained and killed side by side, with one thread each. Linux only. Writes results/reliability/kill-campaign.{json,md}.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result
from benchmarks.reliability.fault_injection import (
    choose_plan,
    make_arrays,
    outcome,
    progress_left,
    train_in_a_process,
)


def main() -> None:
    """Run the campaign and write its log."""
    parser = argument_parser(__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--at-once", type=int, default=2, help="runs side by side")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        report = campaign(Path(temporary), options.kills, options.seed, options.epochs, options.at_once)
    report["machine"] = describe_machine()
    write_result("reliability/kill-campaign", report, markdown(report))
    sys.exit(1 if report["lost"] or report["different"] else 0)


def campaign(work: Path, kills: int, seed: int, epochs: int, at_once: int) -> dict[str, Any]:
    """Kill as often as asked for, in several series side by side; return what was done and the outcome."""
    arrays = make_arrays(work)
    began = time.monotonic()
    undisturbed = train_in_a_process(work / "undisturbed", arrays, epochs, None)
    if undisturbed.returncode:
        raise SystemExit(f"The undisturbed run failed:\n{undisturbed.stderr}")
    usual = json.loads(undisturbed.stdout.splitlines()[-1])["seconds"]
    expected = outcome(work / "undisturbed")
    shares = [kills // at_once + (number < kills % at_once) for number in range(at_once)]
    with ThreadPoolExecutor(at_once) as pool:
        series = list(
            pool.map(
                lambda number: one_series(
                    work / f"series-{number}", arrays, shares[number], seed + number, epochs, usual, expected
                ),
                range(at_once),
            )
        )
    log = [entry for one in series for entry in one["log"]]
    return {
        "kills": sum("lost" not in entry for entry in log),
        "kills_by_place": dict(Counter(f"{entry['how']} {entry['what']}" for entry in log if "how" in entry)),
        **{name: sum(one[name] for one in series) for name in ("runs_finished", "lost", "different")},
        "epochs_per_run": epochs,
        "at_once": at_once,
        "seconds": round(time.monotonic() - began),
        "log": log,
    }


def one_series(
    work: Path, arrays: Path, kills: int, seed: int, epochs: int, usual: float, expected: object
) -> dict[str, Any]:
    """Kill and resume, run after run, until `kills` processes were killed and the last run is finished."""
    work.mkdir()
    choose = random.Random(seed)
    log: list[dict[str, Any]] = []
    finished = lost = different = number = 0
    run = work / "run-0"
    while len(log) < kills or run.exists():
        plan = choose_plan(choose, usual) if len(log) < kills else None
        done = train_in_a_process(run, arrays, epochs, plan)
        if done.returncode == -signal.SIGKILL:
            at = json.loads(done.stdout.splitlines()[-1])
            log.append({"run": f"{work.name}/{run.name}", **(plan or {}), "at": at, **progress_left(run)})
            print(f"{len(log)}/{kills}: {log[-1]}", file=sys.stderr, flush=True)
            continue
        if done.returncode:
            lost += 1
            log.append({"run": f"{work.name}/{run.name}", "lost": done.stderr[-2000:]})
        else:
            finished += 1
            different += outcome(run) != expected
        shutil.rmtree(run, ignore_errors=True)
        number += 1
        if len(log) < kills:
            run = work / f"run-{number}"
    return {"log": log, "runs_finished": finished, "lost": lost, "different": different}


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    return page(
        "# Killing a training",
        "",
        "AlexNet (112 MB per checkpoint) with momentum, cosine schedule, dropout, augmentation and averaged weights, "
        f"saved every 2 of 4 steps; {report['kills']} times SIGKILL, each followed by `--resume`.",
        "",
        f"- kills: {report['kills']}",
        f"- runs finished in spite of them: {report['runs_finished']}, of {report['epochs_per_run']} epochs each",
        f"- **runs lost: {report['lost']}**",
        f"- finished runs whose history or weights differ from the undisturbed run's: {report['different']}",
        f"- time: {report['seconds'] / 60:.0f} minutes",
        "",
        *markdown_table(["killed", "times"], sorted(report["kills_by_place"].items())),
        "",
        machine_line(report["machine"]),
    )


if __name__ == "__main__":
    main()
