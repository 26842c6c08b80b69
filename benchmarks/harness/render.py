"""Render the committed pages again from the committed values, without measuring: after a change of wording or layout.

    python -m benchmarks.harness.render [NAME ...]

NAME is a result such as `speed/convolution`; by default all are rendered.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

from asl_edge.files import atomic
from benchmarks.harness.report import RESULTS, argument_parser, read_result

SCRIPTS = {
    "accuracy/quantization-peers-alexnet": "accuracy.quantization_peers",
    "speed/cold-start-peers": "speed.cold_start_peers",
    "speed/train-throughput-avx2": "speed.train_throughput",
    "spelling/decoders-synthetic": "spelling.decoders",
    "speed/hosts-128": "speed.hosts",
    "speed/precisions-alexnet": "speed.precisions",
    "speed/prepare-4350": "speed.prepare",
}
"""Scripts of the results that are not named after theirs."""


def main() -> None:
    """Render the pages."""
    parser = argument_parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    for name in parser.parse_args().names or results():
        atomic.write_text(RESULTS / f"{name}.md", render(name))
        print(RESULTS / f"{name}.md")


def results(folder: Path = RESULTS) -> Iterator[str]:
    """Yield the name of every committed result that has values; pages without values were written by asl-edge."""
    for path in sorted(folder.rglob("*.json")):
        yield path.relative_to(folder).with_suffix("").as_posix()


def render(name: str) -> str:
    """Return the page of a result, rendered by the function `markdown` of its script."""
    module = importlib.import_module(f"benchmarks.{script_of(name)}")
    text: str = module.markdown(read_result(name))
    return text


def script_of(name: str) -> str:
    """Return the module below `benchmarks` that wrote a result."""
    return SCRIPTS.get(name, name.replace("/", ".").replace("-", "_"))


if __name__ == "__main__":
    main()
