"""What `benchmarks.reliability.hostile_inputs` does with each kind of input: the same as a user's command would.

    python -m benchmarks.reliability.hostile_targets KIND SEED FIRST COUNT FOLDER

is one batch, in a process of its own: before each input its number is written to standard output, so that the campaign
knows which one ended the process or hangs, and at the end one line of JSON says what became of them.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.errors import AslEdgeError
from asl_edge.runtime.machine import peak_memory_bytes
from benchmarks.reliability import hostile_mutations

MEMORY_BYTES = 2**30
"""What one process may allocate for its inputs, on top of what it has once everything is imported."""
OUT_OF_MEMORY = ("bad_alloc", "memory", "Memory", "allocate")
"""Words of errors that mean that an input asked for more."""
MOST_FRAMES = 500

Target = Callable[[bytes, Path, int], str]
"""Reads an input, using a folder of its own. Returns `accepted`, or what is wrong with that; raises AslEdgeError where
the input is refused."""


def input_of(kind: str, seed: int, number: int) -> bytes:
    """Return input `number` of a kind."""
    if kind == "bundle-byte":
        return hostile_mutations.with_one_byte_changed(seed, number)
    return hostile_mutations.mutated(kind, seed, number)


def read_image(content: bytes, folder: Path, number: int) -> str:
    """Prepare an image as `predict` and `data prepare` do; every fourth one from a file."""
    from asl_edge.imaging.preprocess import check, load

    if number % 4 == 0:
        path = folder / "image.jpg"
        path.write_bytes(content)
        image = load(path, 32, "pad")
    else:
        check(content, 32)
        image = load(content, 32)
    return "accepted" if image.shape == (32, 32, 3) and image.dtype == np.uint8 else "another shape"


def read_video(content: bytes, folder: Path, number: int) -> str:
    """Read the frames of a clip."""
    from asl_edge.errors import ImageError
    from asl_edge.imaging.preprocess import load
    from asl_edge.runtime.streams.sources import items

    path = folder / ("clip.avi", "clip.mp4", "clip.mkv")[number % 3]
    path.write_bytes(content)
    for item, _ in zip(items([str(path)]), range(MOST_FRAMES), strict=False):
        if item.problem:
            raise ImageError(item.problem)
        if isinstance(item.image, np.ndarray) and item.image.ndim != 3:
            return "another shape"
        if isinstance(item.image, bytes):
            load(item.image, 32)
    return "accepted"


def run_model(content: bytes, folder: Path, number: int) -> str:
    """Open a model in one of two ways, classify noise, and write its card."""
    from asl_edge.runtime.model_card import card
    from asl_edge.runtime.predictor import Predictor

    path = folder / "model.onnx"
    path.write_bytes(content)
    with Predictor(path, provider="cpu", threads=1, expected=1 if number % 2 else None) as predictor:
        noise = np.random.default_rng(number).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
        predictions = predictor(list(noise))
        card(predictor.spec, "model.onnx")
    if any(not 0 <= share <= 1.02 for one in predictions for _, share in one.top):
        return "no probabilities"
    return "accepted" if all(label.isprintable() for one in predictions for label, _ in one.top) else "odd names"


def verify_bundle(content: bytes, folder: Path, number: int) -> str:
    """Verify a bundle, and read its card."""
    from asl_edge.runtime.bundle.golden_test import verify_bundle as verify
    from asl_edge.runtime.bundle.reader import Bundle

    path = folder / "model.aslz"
    path.write_bytes(content)
    bundle = Bundle(path)
    results = verify(bundle, provider="cpu", threads=1, precisions=bundle.precisions[:1], record=False)
    equal = min(result.labels_equal / result.examples for result in results)
    return "passed with other labels" if all(result.passed for result in results) and equal < 0.5 else "accepted"


def check_changed_bundle(content: bytes, folder: Path, number: int) -> str:
    """Check a bundle with one byte changed, which must be refused."""
    from asl_edge.runtime.bundle.reader import Bundle

    path = folder / "model.aslz"
    path.write_bytes(content)
    Bundle(path).check()
    return "a changed byte"


def load_adaptation(content: bytes, folder: Path, number: int) -> str:
    """Load an adaptation and apply it."""
    from asl_edge.runtime.adaptation import Adaptation

    path = folder / "mine.npz"
    path.write_bytes(content)
    adaptation = Adaptation.load(path)
    classes, features = len(adaptation.classes), len(adaptation.weights)
    adaptation.apply(np.full((2, classes), 1 / classes, np.float32), np.ones((2, features), np.float32))
    return "accepted"


def read_zip(content: bytes, folder: Path, number: int) -> str:
    """Find the images in a zip and decode them."""
    from asl_edge.data.prepare.containers import open_container
    from asl_edge.data.prepare.discovery import find
    from asl_edge.errors import ImageError
    from asl_edge.imaging.preprocess import load

    path = folder / "set.zip"
    path.write_bytes(content)
    container = open_container(path)
    try:
        pending = [""]
        while pending:
            place = pending.pop()
            listing = container.listing(place)
            pending += [f"{place}/{name}".lstrip("/") for name in listing.folders]
            for name in listing.files:
                with contextlib.suppress(ImageError):
                    load(container.read(f"{place}/{name}".lstrip("/")), 16)
    finally:
        container.close()
    find([path])
    return "accepted"


def open_arrays(content: bytes, folder: Path, number: int) -> str:
    """Open a folder of arrays, and read rows of it."""
    from asl_edge.data.arrays import PreparedArrays

    files = hostile_mutations.files_of_folder(content)
    for name, data in zip(("train_set.npy", "train_classes.npy", "manifest.json"), files, strict=True):
        (folder / name).write_bytes(data)
    arrays = PreparedArrays.open(folder, check=number % 8 == 0)
    count = arrays.count("train")
    arrays.rgb("train", slice(0, 2))
    return "accepted" if len(arrays.sources("train")) == count else "other sources"


TARGETS: dict[str, Target] = {
    **dict.fromkeys(("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "exif"), read_image),
    "video": read_video,
    "onnx": run_model,
    "bundle": verify_bundle,
    "bundle-byte": check_changed_bundle,
    "adapt": load_adaptation,
    "zip": read_zip,
    "arrays": open_arrays,
}
"""Kind of input -> what is done with it."""


def outcome_of(kind: str, content: bytes, folder: Path, number: int) -> tuple[str, str]:
    """Return what became of one input: `accepted`, `refused`, `memory`, `traceback` or `wrong`, and why.

    Args:
        kind: one of `TARGETS`.
        content: the input.
        folder: where files may be written.
        number: of the input.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of names that stand twice in a zip, of missing manifests
            result = TARGETS[kind](content, folder, number)
    except AslEdgeError as error:
        message = str(error)
        return ("memory" if any(word in message for word in OUT_OF_MEMORY) else "refused"), message
    except MemoryError as error:
        return "memory", repr(error)
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    return ("accepted", "") if result == "accepted" else ("wrong", result)


def memory_bytes() -> int:
    """Return the address space that this process takes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def import_everything(kind: str, folder: Path) -> None:
    """Read every seed of a kind once, so that what is imported and cached does not count as an input's memory."""
    for number, content in enumerate(hostile_mutations.SEEDS[kind]()):
        outcome_of(kind, content, folder, number)


def run_batch(kind: str, seed: int, first: int, count: int, folder: Path) -> dict[str, Any]:
    """Read inputs `first` to `first + count` of a kind, and return what became of them."""
    outcomes: Counter[str] = Counter()
    findings: list[dict[str, Any]] = []
    slowest, slowest_number = 0.0, first
    for number in range(first, first + count):
        os.write(1, b"%d\n" % number)
        content = input_of(kind, seed, number)
        started = time.perf_counter()
        outcome, reason = outcome_of(kind, content, folder, number)
        seconds = time.perf_counter() - started
        outcomes[outcome] += 1
        if outcome not in ("accepted", "refused"):
            findings.append({"number": number, "outcome": outcome, "reason": reason[:500]})
        if seconds > slowest:
            slowest, slowest_number = seconds, number
    return {"outcomes": outcomes, "findings": findings, "slowest_s": slowest, "slowest_number": slowest_number}


def main() -> None:
    """Run one batch."""
    kind, seed, first, count, place = sys.argv[1:]
    folder = Path(place)
    import_everything(kind, folder)
    limit = memory_bytes() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    report = run_batch(kind, int(seed), int(first), int(count), folder)
    report["peak_bytes"] = peak_memory_bytes() or 0
    os.write(1, json.dumps(report).encode() + b"\n")


if __name__ == "__main__":
    main()
