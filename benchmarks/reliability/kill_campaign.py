"""Kill a training of AlexNet with SIGKILL again and again, go on with it, and see whether anything is lost.

    python benchmarks/kill_campaign.py [--kills 200] [--seed 0] [--epochs 6] [--at-once 2]

Each process trains until it is killed: at a random moment, or before, inside or after the write, the fsync, the rename,
the link or the removal of a file of the run folder. The next process goes on with --resume. When a run is finished, its
history and its weights are compared with those of a run that nobody disturbed, and a new one begins. Several runs may
be trained and killed side by side, in one thread each. Writes
benchmarks/results/kill-campaign.json and kill-campaign.md. POSIX only, since Windows has no SIGKILL.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from machine import describe_machine, machine_line

RESULTS = Path(__file__).parent / "results"
CALLS = {"fsync": 14, "replace": 14, "link": 2, "unlink": 3}
"""What a run folder is changed by, besides writing, and about how often in a process of a few epochs."""
WEIGHTS_BYTES = {"alexnet": 112_000_000, "alexnet-edge": 15_000_000}
"""What the weights of a network take, and at least every large file of its run."""


def main() -> None:
    """Run the campaign and write its log."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--at-once", type=int, default=2, help="runs side by side")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        report = campaign(Path(temporary), options.kills, options.seed, options.epochs, options.at_once)
    report["machine"] = describe_machine()
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "kill-campaign.json").write_text(json.dumps(report, indent=1) + "\n")
    (options.results / "kill-campaign.md").write_text(markdown(report))
    print(markdown(report))
    sys.exit(1 if report["lost"] or report["different"] else 0)


def campaign(work: Path, kills: int, seed: int, epochs: int, at_once: int) -> dict[str, Any]:
    """Kill as often as asked for, in several series side by side; return what was done and what came of it."""
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
        "epochs_a_run": epochs,
        "at_once": at_once,
        "seconds": round(time.monotonic() - began),
        "log": log,
    }


def one_series(
    work: Path, arrays: Path, kills: int, seed: int, epochs: int, usual: float, expected: object
) -> dict[str, Any]:
    """Kill, go on, and begin anew, until that many are killed and the last run is finished."""
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
            log.append({"run": f"{work.name}/{run.name}", **(plan or {}), "at": at, **stand(run)})
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


def choose_plan(choose: random.Random, usual: float) -> dict[str, Any]:
    """Choose where the next process is killed."""
    how = choose.choice(("moment", "inside", "before", "after"))
    if how == "moment":
        return {"how": how, "what": "random", "seconds": round(choose.uniform(0, usual), 3)}
    if how == "inside":
        return {"how": how, "what": "write", "number": choose.randint(1, 4), "share": round(choose.uniform(0.2, 1), 3)}
    what = choose.choice(sorted(CALLS))
    return {"how": how, "what": what, "number": choose.randint(1, CALLS[what])}


def make_arrays(work: Path, size: int = 224) -> Path:
    """Draw a few hands and prepare them, as images of `size` pixels."""
    from asl_edge.data.prepare.prepare import PrepareConfig, prepare
    from asl_edge.data.synthetic import synthesize

    synthesize(work / "hands", per_class=20, classes=("A", "B"), workers=1, clip_frames=1)
    prepare(PrepareConfig((work / "hands",), work / "arrays", size=size))
    return work / "arrays"


def train_in_a_process(
    run: Path, arrays: Path, epochs: int, plan: dict[str, Any] | None, network: str = "alexnet"
) -> subprocess.CompletedProcess[str]:
    """Begin or go on with a run in a process of its own, which kills itself as `plan` says."""
    words = [sys.executable, __file__, "--train", str(run), str(arrays), str(epochs), json.dumps(plan), network]
    # One thread each, the undisturbed run too: sums of another number of threads are others in their last digits.
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **threads}
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment)


def outcome(run: Path) -> tuple[list[dict[str, float]], str]:
    """Return a finished run's history without its times, and the digest of its last weights."""
    import hashlib

    from asl_edge.training.runs.folder import RunFolder
    from asl_edge.training.runs.train_state import load_state

    times = ("seconds", "images_per_second", "waiting_share")
    history = [{k: v for k, v in row.items() if k not in times} for row in RunFolder.open(run).history()]
    state = load_state(run / "checkpoints/state.npz")
    assert state is not None
    digest = hashlib.sha256()
    for values in (*state.optimizer, *state.weights):
        digest.update(values.tobytes())
    return history, digest.hexdigest()


def stand(run: Path) -> dict[str, int | None]:
    """Tell how far the run is that a kill has left."""
    from asl_edge.training.runs.train_state import load_state

    state = load_state(run / "checkpoints/state.npz") if run.is_dir() else None
    return {"epochs_kept": state.epoch if state else 0, "steps_kept": state.step if state else 0}


def train_here(run: Path, arrays: Path, epochs: int, plan: dict[str, Any] | None, network: str) -> None:
    """Train in this process; what `plan` says kills it."""
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.training import recipes
    from asl_edge.training.compute.backend import load_keras
    from asl_edge.training.loop.train import train

    load_keras()
    began = time.monotonic()
    if plan is not None:
        arm(plan, run, WEIGHTS_BYTES[network])
    # Momentum, a schedule, dropout, augmentation and averages: everything that has a state.
    config = recipes.get(
        "default", optimizer="sgd", momentum=0.9, learning_rate=0.002, ema_momentum=0.9, weight_decay=0.0,
        batch_size=4, steps_per_epoch=4, epochs=epochs, checkpoint_steps=2, precision="float32",
        network=network,
    )  # fmt: skip
    begun = (run / "config.json").is_file()
    # Killed before its config stood, a folder is the beginning of a run, which --overwrite replaces.
    train(config, PreparedArrays.open(arrays), run, resume=begun, overwrite=not begun)
    print(json.dumps({"seconds": round(time.monotonic() - began, 3)}))


def arm(plan: dict[str, Any], run: Path, weights_bytes: int) -> None:
    """Make this process kill itself as planned."""

    def die(where: str) -> None:
        os.write(1, (json.dumps(where) + "\n").encode())
        os.kill(os.getpid(), signal.SIGKILL)

    if plan["how"] == "moment":
        threading.Timer(plan["seconds"], die, ["a random moment"]).start()
    elif plan["how"] == "inside":
        watched = (run, plan["number"], plan["share"], weights_bytes, die)
        threading.Thread(target=watch_writing, args=watched, daemon=True).start()
    else:
        die_at_call(plan["what"], plan["number"], plan["how"] == "before", run, die)


def die_at_call(name: str, number: int, before: bool, run: Path, die: Callable[[str], None]) -> None:
    """Die before or after the call of that number that touches the run folder."""
    real, left = getattr(os, name), [number]

    def call(*arguments: Any, **options: Any) -> Any:
        target = arguments[0]
        path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else os.fspath(target)
        ours = str(run) in str(path)
        left[0] -= ours
        if ours and left[0] == 0 and before:
            die(f"before {name} of {Path(path).name}")
        result = real(*arguments, **options)
        if ours and left[0] == 0:
            die(f"after {name} of {Path(path).name}")
        return result

    setattr(os, name, call)


def watch_writing(run: Path, number: int, share: float, weights_bytes: int, die: Callable[[str], None]) -> None:
    """Die while the large file of that number is so far written."""
    seen: dict[str, None] = {}
    while True:
        for path in run.rglob(".*.partial*") if run.is_dir() else ():
            try:
                size = path.stat().st_size
            except OSError:
                continue
            if size < 0.2 * weights_bytes:
                continue
            seen.setdefault(path.name)
            if len(seen) >= number and list(seen)[number - 1] == path.name and size >= 0.98 * share * weights_bytes:
                die(f"inside the write of {path.name} at {size} bytes")
        time.sleep(0.002)


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    places = "\n".join(f"| {place} | {count} |" for place, count in sorted(report["kills_by_place"].items()))
    return (
        "# Killing a training\n\n"
        "AlexNet (112 MB a checkpoint) with momentum, cosine, dropout, augmentation and averaged weights, saved every "
        f"2 of 4 steps; {report['kills']} times SIGKILL, each followed by `--resume`.\n\n"
        f"- kills: {report['kills']}\n"
        f"- runs finished after all: {report['runs_finished']}, of {report['epochs_a_run']} epochs each\n"
        f"- **runs lost: {report['lost']}**\n"
        "- finished runs whose history or weights differ from the undisturbed run's: "
        f"{report['different']}\n"
        f"- time: {report['seconds'] / 60:.0f} minutes\n\n"
        f"| killed | times |\n|---|---:|\n{places}\n\n{machine_line(report['machine'])}\n"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        train_here(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), json.loads(sys.argv[5]), sys.argv[6])
    else:
        main()
