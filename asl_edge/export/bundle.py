"""Bundles: one model in several precisions with golden examples and documents, in one file that a device can verify."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asl_edge.errors import UserError
from asl_edge.export.build import BuiltGraph, Int8Choices, build, check_precision
from asl_edge.export.convert import ConvertedModel, convert
from asl_edge.export.export import checked_file, reject_out_of_tolerance, writing
from asl_edge.export.int8.quantize import chosen_nodes
from asl_edge.export.parity_images import refuse_missing
from asl_edge.export.source.open_source import Described
from asl_edge.files import atomic
from asl_edge.runtime.bundle.archive import write_archive
from asl_edge.runtime.bundle.detection import MANIFEST, SUFFIX
from asl_edge.runtime.bundle.golden_test import GoldenResult
from asl_edge.runtime.bundle.reader import FORMAT
from asl_edge.spec import INPUT_NAME, OUTPUT_NAME

GOLDEN = 24
"""Golden examples by default."""
FEWEST_GOLDEN = 16
DEFAULT_PRECISIONS = ("fp32", "fp16", "int8")

TOLERANCES: Mapping[str, float] = {"fp32": 1e-4, "fp16": 2e-2, "fp16-weights": 1e-4, "int8": 5e-2}
"""Largest difference of a probability from the one computed where the bundle was made. Other kernels sum in another
order (float32), round differently between layers (half precision), or break ties differently when rounding (INT8)."""


@dataclass(frozen=True)
class BundleResult:
    """A written bundle."""

    path: Path
    replaced: bool
    size_bytes: int
    sha256: str
    models: tuple[BuiltGraph, ...]
    golden: int
    golden_from: str
    """Where the examples came from, in words."""
    verified: tuple[GoldenResult, ...]
    """The golden tests of the bundle, read back and run on this machine."""
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "path": str(self.path),
            "replaced": self.replaced,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            "golden": self.golden,
            "golden_from": self.golden_from,
            "models": [
                {"precision": built.spec.precision, "parity": built.parity.to_dict(), "spec": asdict(built.spec)}
                for built in self.models
            ],
            "verified": [result.to_dict() for result in self.verified],
            "notes": list(self.notes),
        }


# Nine parameters: all but the first two are independent and have defaults, so nobody passes them together.
def export_bundle(  # noqa: PLR0913
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    precisions: Sequence[str] = DEFAULT_PRECISIONS,
    data: str | os.PathLike[str] | None = None,
    described: Described | None = None,
    int8: Int8Choices | None = None,
    golden: int = GOLDEN,
    real_examples: bool = False,
    on_step: Callable[[str], None] | None = None,
) -> BundleResult:
    """Export a model in several precisions, verify each, and put them into one file with golden examples.

    Args:
        source: as for `asl_edge.export.export.export_run`.
        out: the `.aslz` file to write; an older one is replaced in one step.
        precisions: which, each once.
        data: real images for the comparison with Keras; the run's own by default.
        described: class names and the rest, for a model outside a run.
        int8: the choices for `int8`.
        golden: how many examples, 16 or more.
        real_examples: take the examples from the images of the comparison instead of synthetic hands. Whoever gets
            the bundle can see them.
        on_step: called with a sentence on each step.

    Raises:
        OutOfToleranceError: a precision disagrees with Keras; nothing is written.
        UserError: a choice is out of range, or `out` cannot be written.
        ModelError, RunError, DataError, ParityError, MissingPackageError: see `convert` and `build`.
    """
    from asl_edge.runtime.bundle.golden_test import verify_bundle
    from asl_edge.runtime.bundle.reader import Bundle

    path = checked_file(Path(out), SUFFIX, "--bundle")
    _check_choices(precisions, golden)
    say = on_step or (lambda text: None)
    int8 = (int8 or Int8Choices()) if "int8" in precisions else None
    refuse_missing(data, None if int8 is None else int8.calibration)
    say("Converting")
    converted = convert(source, data=data, described=described, calibrate_on=None if int8 is None else int8.images)
    card = converted.recorded.card
    if int8 is not None:
        chosen_nodes(converted.graph, int8.config)  # before the other precisions, which take minutes
    images, golden_from = _examples(converted, golden, real_examples)
    models: list[BuiltGraph] = []
    for precision in precisions:
        say(f"Building {precision} and comparing it with Keras")
        models.append(build(converted, precision, int8))
        reject_out_of_tolerance(models[-1], path)
    entries, members = _entries(models, card, images, converted.source.colour)
    members |= _documents(converted, models, card)
    manifest = _manifest(converted, members, entries, golden_from)
    replaced = path.exists()
    verified: list[GoldenResult] = []

    def write() -> None:
        with atomic.replacing(path) as temporary:
            _write_zip(temporary, manifest, members)
            verified.extend(verify_bundle(Bundle(temporary), provider="cpu", record=False))
            for result in verified:
                if not result.passed:
                    raise UserError(
                        f"{path} was not written: {result.precision} fails its golden test. {result.failures[0]}"
                    )

    say("Writing, reading back and running the golden examples")
    writing(path, write)
    content = path.read_bytes()
    return BundleResult(
        path=path,
        replaced=replaced,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        models=tuple(models),
        golden=len(images),
        golden_from=golden_from,
        verified=tuple(verified),
        notes=converted.source.notes + converted.images.notes + tuple(note for built in models for note in built.notes),
    )


def _check_choices(precisions: Sequence[str], golden: int) -> None:
    if not precisions or len(set(precisions)) != len(precisions):
        raise UserError(f"Name each precision once. Received: {', '.join(precisions) or 'none'}")
    for precision in precisions:
        check_precision(precision)
    if golden < FEWEST_GOLDEN:
        raise UserError(f"A bundle needs at least {FEWEST_GOLDEN} golden examples. Received: {golden}")


def _entries(
    models: Sequence[BuiltGraph], card: str | None, images: npt.NDArray[np.uint8], colour: str
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Return the manifest's entry for each model, and the members: models, examples and their expected outputs."""
    members: dict[str, bytes] = {"golden/images.npy": _npy(images)}
    entries = []
    for built in models:
        precision = built.spec.precision
        content = built.to_bytes(card)
        names = f"models/{precision}.onnx", f"golden/{precision}.npy"
        members[names[0]], members[names[1]] = content, _npy(_golden_outputs(content, images, colour))
        entries.append(
            {
                "precision": precision,
                "target": built.quantization.target if built.quantization is not None else None,
                "file": names[0],
                "answers": names[1],
                "tolerance": TOLERANCES[precision],
            }
        )
    return entries, members


def _examples(converted: ConvertedModel, count: int, real: bool) -> tuple[npt.NDArray[np.uint8], str]:
    """Return examples, uint8 (N, S, S, 3), RGB: synthetic hands, or evenly spaced images of the comparison."""
    source, given = converted.source, converted.images
    if real:
        rows = np.unique(np.linspace(0, len(given.images) - 1, count).astype(np.int64))
        if len(rows) < FEWEST_GOLDEN:
            raise UserError(f"{len(rows)} images are too few for golden examples; at least {FEWEST_GOLDEN} are needed.")
        images = given.images[rows]
        return (images[..., ::-1].copy() if source.colour == "BGR" else images), given.described
    from asl_edge.data.synthetic import draw_hand
    from asl_edge.data.synthetic.drawing import MIN_SIZE
    from asl_edge.imaging.preprocess import to_square
    from asl_edge.labels import CLASSES

    names = [name for name in source.classes if name in CLASSES] or list(CLASSES)
    examples = [
        draw_hand(names[number % len(names)], np.random.default_rng([2026, number]), max(source.input_size, MIN_SIZE))
        for number in range(count)
    ]
    return np.stack([to_square(image, source.input_size) for image in examples]), "synthetic hands"


def _golden_outputs(model: bytes, images: npt.NDArray[np.uint8], colour: str) -> npt.NDArray[np.float32]:
    """Return a model's probabilities on the CPU, one image at a time, as on a device."""
    from asl_edge.runtime.engine.session import open_session

    session = open_session(model, provider="cpu").session
    given = images[..., ::-1] if colour == "BGR" else images
    rows = [
        session.run([OUTPUT_NAME], {INPUT_NAME: np.ascontiguousarray(given[row : row + 1])})[0]
        for row in range(len(given))
    ]
    return np.concatenate(rows).astype(np.float32)


def _documents(converted: ConvertedModel, models: Sequence[BuiltGraph], card: str | None) -> dict[str, bytes]:
    spec = asdict(models[0].spec)
    for name in ("precision", "parity", "quantization"):  # these differ between the models, and each holds its own
        spec.pop(name)
    labels = "".join(f"{name}\n" for name in converted.source.classes)
    sources = ", ".join(map(str, converted.source.trained_on.get("sources") or ())) or "not recorded"
    notice = (
        "The program that made this bundle, asl-edge, is under the Apache License 2.0.\n"
        f"The weights were trained on images from these sources: {sources}.\n"
        "Their licences limit how the weights may be used; MODEL_CARD.md holds what is known of them.\n"
    )
    written = card or f"# {converted.source.network}\n\nNo model card was written for this model.\n"
    return {
        "spec.json": json.dumps(spec, ensure_ascii=False, indent=1, sort_keys=True).encode(),
        "labels.txt": labels.encode(),
        "MODEL_CARD.md": written.encode(),
        "LICENSE.txt": notice.encode(),
    }


def _manifest(
    converted: ConvertedModel, members: Mapping[str, bytes], entries: list[dict[str, Any]], golden_from: str
) -> dict[str, Any]:
    from asl_edge._version import __version__

    major, minor = (int(part) for part in __version__.split(".")[:2])
    return {
        "format": FORMAT,
        # A release whose predictor gives other results for older bundles raises the second number.
        "asl_edge": {"made_with": __version__, "at_least": f"{major}.{minor}.0", "below": f"{major + 1}.0"},
        "network": converted.source.network,
        "models": entries,
        "golden": {"images": "golden/images.npy", "from": golden_from},
        "members": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in sorted(members.items())
        },
    }


def _write_zip(path: Path, manifest: Mapping[str, Any], members: Mapping[str, bytes]) -> None:
    content = json.dumps(manifest, ensure_ascii=False, indent=1).encode()
    with path.open("wb") as file:
        write_archive(file, {MANIFEST: content, **members})


def _npy(array: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()
