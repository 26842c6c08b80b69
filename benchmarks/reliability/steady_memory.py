"""Ten thousand predictions, from one thread and from four: does memory grow? Writes results/steady-memory.{json,md}.

    python benchmarks/steady_memory.py IMAGES [--model MODEL] [--count 10000]

Resident memory (RSS) is read after every thousandth prediction of a JPEG from bytes to label, and after the predictor
was closed and a second one opened and closed twenty times.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    import psutil
    from machine import describe_machine, machine_line

    from asl_edge.runtime.predictor import Predictor
    from asl_edge.runtime.pretrained import pretrained_model

    process = psutil.Process()
    model = options.model or pretrained_model()
    found = sorted(path for path in options.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    images = [path.read_bytes() for path in found[:: max(1, len(found) // 64)][:64]]

    def rss() -> float:
        gc.collect()
        return round(float(process.memory_info().rss) / 1e6, 2)

    results: dict[str, Any] = {"model": Path(model).name, "count": options.count, "before_mb": rss()}
    step = max(1, options.count // 10)
    with Predictor(model, provider="cpu") as predictor, ThreadPoolExecutor(4) as pool:
        for name, many in (("one thread", False), ("four threads", True)):
            feed, readings = cycle(images), []
            for _ in range(0, options.count, step):
                batch = list(islice(feed, step))
                for _ in pool.map(predictor, batch) if many else map(predictor, batch):
                    pass
                readings.append(rss())
            results[name] = readings
    results["closed_mb"] = rss()
    reopened = []
    for _ in range(20):
        with Predictor(model, provider="cpu") as predictor:
            predictor(images[0])
        reopened.append(rss())
    results |= {"reopened_mb": reopened, "machine": describe_machine()}
    (RESULTS / "steady-memory.json").write_text(json.dumps(results, indent=1) + "\n")
    lines = [
        "# Memory over many predictions",
        "",
        f"`{results['model']}`, {options.count:,} predictions each, JPEG bytes to label; resident memory in MB after "
        "each tenth. Before any: "
        f"{results['before_mb']:.0f}; after closing: {results['closed_mb']:.0f}; after opening, asking and closing "
        f"again, first and twentieth time: {reopened[0]:.0f} and {reopened[-1]:.0f}.",
        "",
        "| | " + " | ".join(f"{number}/10" for number in range(1, 11)) + " |",
        "|---|" + "---:|" * 10,
        *(
            f"| {name} | " + " | ".join(f"{value:.1f}" for value in results[name]) + " |"
            for name in ("one thread", "four threads")
        ),
        "",
        machine_line(results["machine"]),
        "",
    ]
    (RESULTS / "steady-memory.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
