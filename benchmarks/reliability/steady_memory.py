"""Memory over ten thousand predictions, from one thread and from four: does it grow?

    python -m benchmarks.reliability.steady_memory IMAGES [--model MODEL] [--count 10000]

Resident memory (RSS) is measured after every tenth of the predictions, each from the bytes of a JPEG to a label, and
after the predictor was closed and a second one opened and closed twenty times. Writes
results/reliability/steady-memory.{json,md}.
"""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.harness.machine import describe_machine, machine_line
from benchmarks.harness.report import argument_parser, markdown_table, page, write_result


def main() -> None:
    """Measure and write the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    options = parser.parse_args()
    import psutil

    from asl_edge.runtime.predictor import Predictor
    from asl_edge.runtime.pretrained import pretrained_model

    process = psutil.Process()
    model = options.model or pretrained_model()
    paths = sorted(path for path in options.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    images = [path.read_bytes() for path in paths[:: max(1, len(paths) // 64)][:64]]

    def rss() -> float:
        gc.collect()
        return round(float(process.memory_info().rss) / 1e6, 2)

    results: dict[str, Any] = {"model": Path(model).name, "count": options.count, "before_mb": rss()}
    step = max(1, options.count // 10)
    with Predictor(model, provider="cpu") as predictor, ThreadPoolExecutor(4) as pool:
        for name, many in (("one thread", False), ("four threads", True)):
            stream, readings = cycle(images), []
            for _ in range(0, options.count, step):
                batch = list(islice(stream, step))
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
    write_result("reliability/steady-memory", results, markdown(results))


def markdown(results: dict[str, Any]) -> str:
    """Return the results as a page."""
    reopened = results["reopened_mb"]
    names = ("one thread", "four threads")
    return page(
        "# Memory over many predictions",
        "",
        f"`{results['model']}`, {results['count']:,} predictions each, JPEG bytes to label; resident memory in MB "
        f"after each tenth. Before the first: {results['before_mb']:.0f}; after closing: {results['closed_mb']:.0f}; "
        f"after opening, predicting and closing again, first and twentieth time: "
        f"{reopened[0]:.0f} and {reopened[-1]:.0f}.",
        "",
        *markdown_table(
            ["", *(f"{number}/10" for number in range(1, 11))],
            [[name, *(f"{value:.1f}" for value in results[name])] for name in names],
        ),
        "",
        machine_line(results["machine"]),
    )


if __name__ == "__main__":
    main()
