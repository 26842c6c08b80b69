"""The demo: synthesize, prepare, train, evaluate, export, verify, predict, benchmark."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from asl_edge.data.prepare.prepare import PrepareConfig
from asl_edge.data.synthetic.scene import Framing
from asl_edge.demo.gallery import Classified, write_gallery
from asl_edge.errors import DataError, MissingPackageError
from asl_edge.files import atomic
from asl_edge.files.removal import is_link, remove
from asl_edge.training import networks
from asl_edge.training.config import TrainConfig
from asl_edge.training.loop.progress import Progress

MARK_FILE = "demo.json"
"""The demo's configuration, written first: it marks the folder as a demo's, also when the demo was stopped."""

_MADE_BY = "asl-edge demo"

SUMMARY_FILE = "summary.json"
GALLERY_FILE = "predictions.png"
UNSEEN_PER_CLASS = 200
"""Images per class of unseen synthetic signers."""

RECIPE = "synthetic"
FRAMING: Framing = "guide"
"""Hands that fill the image, as in the guide box of video; with near and far hands five minutes are not enough."""

_GALLERY_TILES = 18

_HANDS, _UNSEEN, _ARRAYS, _RUN, _FP32, _FP16 = "hands", "unseen", "arrays", "run", "model.onnx", "model-fp16.onnx"
_EARLIER_FOLDERS = ("strangers",)  # names that earlier versions gave
_FOLDERS = (_HANDS, _UNSEEN, _ARRAYS, _RUN, *_EARLIER_FOLDERS)
_FILES = (_FP32, _FP16, *(f"{Path(name).stem}.parity.json" for name in (_FP32, _FP16)), GALLERY_FILE, SUMMARY_FILE)
_HALF_WRITTEN = re.compile(  # by a demo that was killed: see files.atomic and files.atomic_folder
    rf"\.({'|'.join(re.escape(Path(name).stem) for name in (*_FILES, MARK_FILE))})\.\w+\.partial\.\w+"
    rf"|\.({'|'.join(_FOLDERS)})\.(partial|old)-[0-9a-f]{{8}}"
)


@dataclass(frozen=True)
class DemoConfig:
    """How large the demo is.

    Raises:
        DataError: on construction, when there are too few classes, images or epochs, or no such network.
    """

    out: Path
    classes: tuple[str, ...] = ("A", "B", "C")
    """The tutorial's three letters."""
    per_class: int = 1600
    epochs: int = 3
    seed: int = 0
    overwrite: bool = False
    network: str = "alexnet"
    """Name in `asl_edge.training.networks`."""

    def __post_init__(self) -> None:
        """Check every field."""
        networks.get(self.network)
        if len(self.classes) < 2:
            raise DataError(f"The demo needs at least two classes. Received: {', '.join(self.classes)}")
        if self.per_class < 20:
            raise DataError(f"The demo needs at least 20 images per class. Received: {self.per_class}")
        if self.epochs < 1:
            raise DataError(f"The demo needs at least one epoch. Received: {self.epochs}")


@dataclass(frozen=True)
class Step:
    """One step: its title, the command that does the same, and the result."""

    title: str
    command: str
    seconds: float
    result: str
    """In words."""
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DemoResult:
    """The steps and results of a demo."""

    out: Path
    steps: tuple[Step, ...]
    seconds: float
    unseen_accuracy: float
    """Accuracy of `model.onnx` on unseen synthetic signers."""
    unseen_images: int
    gallery: Path

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON knows.

        For one release also under the names of earlier versions: `stranger_accuracy`, `strangers` and, in each step,
        `says`.
        """
        return {
            **asdict(self),
            "steps": [{**asdict(step), "says": step.result} for step in self.steps],
            "out": str(self.out),
            "gallery": str(self.gallery),
            "stranger_accuracy": self.unseen_accuracy,
            "strangers": self.unseen_images,
        }


class Watcher:
    """Receives events; this one ignores them. Override what is of interest."""

    training: Progress | None = None

    def step_begins(self, number: int, of: int, title: str, command: str) -> None:
        """Step `number` of `of` begins."""

    def step_ends(self, step: Step) -> None:
        """A step is done."""


def run_demo(config: DemoConfig, watcher: Watcher | None = None) -> DemoResult:
    """Run the whole workflow and leave everything in `config.out`.

    Raises:
        MissingPackageError: Keras is not installed; found before the first step.
        DataError: `config.out` exists and is not the folder of an unfinished demo.
        AslEdgeError: whatever a step raises.
    """
    if importlib.util.find_spec("keras") is None:  # looked for, not imported: the first steps start processes
        raise MissingPackageError("The demo trains a network with Keras. Install it: pip install 'asl-edge[train]'")
    _clear_folder(config)
    watcher = watcher or Watcher()
    walk = _Walk(config, watcher)
    started = time.perf_counter()
    steps = []
    for number, (title, command, act) in enumerate(walk.steps, start=1):
        watcher.step_begins(number, len(walk.steps), title, command)
        begun = time.perf_counter()
        text, figures = act()
        steps.append(Step(title, command, time.perf_counter() - begun, text, figures))
        watcher.step_ends(steps[-1])
    result = DemoResult(
        out=config.out,
        steps=tuple(steps),
        seconds=time.perf_counter() - started,
        unseen_accuracy=walk.unseen_accuracy,
        unseen_images=walk.unseen_images,
        gallery=config.out / GALLERY_FILE,
    )
    atomic.write_json(config.out / SUMMARY_FILE, result.to_dict(), default=str)
    return result


def _clear_folder(config: DemoConfig) -> None:
    """Make the folder, empty except for the mark; delete what an earlier demo left there, and nothing else.

    Raises:
        DataError: the folder holds something that is not a demo's, or a finished demo that is not to be replaced, or it
            cannot be written to.
    """
    out = config.out
    try:
        if out.is_dir():
            _refuse_to_replace(out, config.overwrite)
        elif os.path.lexists(out):
            raise DataError(f"{out} is a file. Name a folder with --out.")
        out.mkdir(parents=True, exist_ok=True)
        # Mark first, summary next: if this is interrupted, the folder is known as that of an unfinished demo.
        atomic.write_json(out / MARK_FILE, {"made_by": _MADE_BY, **asdict(config)}, default=str)
        (out / SUMMARY_FILE).unlink(missing_ok=True)
        for item in out.iterdir():
            if item.name == MARK_FILE or not _is_ours(item.name):
                continue
            remove(item)
    except OSError as error:
        raise DataError(
            f"{out} cannot be written to ({error.strerror or error}). Name another folder with --out."
        ) from error


def _refuse_to_replace(out: Path, overwrite: bool) -> None:
    names = sorted(item.name for item in out.iterdir())
    if not names:
        return
    if is_link(out):
        raise DataError(f"{out} is a link, and what it leads to is not replaced. Name a folder itself with --out.")
    foreign = [name for name in names if not _is_ours(name)]
    if not foreign and not _is_demo(out):  # people also use names such as `hands` and `run`
        foreign = names
    if foreign:
        raise DataError(f"{out} holds something that is not the demo's ({foreign[0]}). Name another folder with --out.")
    if SUMMARY_FILE in names and not overwrite:
        raise DataError(f"{out} already holds a demo. Add --overwrite to run it again, or name another --out.")


def _is_ours(name: str) -> bool:
    return name in {*_FOLDERS, *_FILES, MARK_FILE} or _HALF_WRITTEN.fullmatch(name) is not None


def _is_demo(out: Path) -> bool:
    """Whether a demo made the folder: by its mark, or by the summary of a version that wrote no mark."""
    if _value(out / MARK_FILE, "made_by") == _MADE_BY:
        return True
    return _value(out / SUMMARY_FILE, "stranger_accuracy") is not None


def _value(path: Path, key: str) -> Any:
    """Return one value of a JSON file; None if there is no such file or value."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        return content.get(key) if isinstance(content, dict) else None
    return None


Outcome = tuple[str, dict[str, Any]]


class _Walk:
    """The steps, and what they pass on to each other."""

    def __init__(self, config: DemoConfig, watcher: Watcher) -> None:
        self.config = config
        self.watcher = watcher
        out = config.out
        self.hands, self.unseen = out / _HANDS, out / _UNSEEN
        self.arrays, self.run = out / _ARRAYS, out / _RUN
        self.fp32, self.fp16 = out / _FP32, out / _FP16
        self.unseen_accuracy = 0.0
        self.unseen_images = 0
        self.steps = list(self._plan())

    def _plan(self) -> Iterator[tuple[str, str, Callable[[], Outcome]]]:
        config = self.config
        size, network = networks.get(config.network).input_size, config.network
        of_size = () if size == PrepareConfig.size else ("--size", size)
        of_network = () if network == TrainConfig.network else ("--network", network)
        names = ",".join(config.classes)
        hands = ["--classes", names, "--per-class", config.per_class, "--seed", config.seed]
        hands += ["--clip-frames", 1, "--framing", FRAMING]
        yield "Synthesize hands", _command("data", "synthesize", "--out", self.hands, *hands), self.synthesize
        yield "Prepare arrays", _command("data", "prepare", self.hands, "--out", self.arrays, *of_size), self.prepare
        trained = (*of_network, "--recipe", RECIPE, "--epochs", config.epochs, "--seed", config.seed)
        yield (
            f"Train {'AlexNet' if network == 'alexnet' else network}",
            _command("train", self.arrays, "--out", self.run, *trained),
            self.train,
        )
        yield "Evaluate on held-out images", _command("evaluate", self.run, self.arrays), self.evaluate
        yield "Export FP32", _command("export", self.run, "--out", self.fp32), self.export_fp32
        half = ("--precision", "fp16")
        yield "Export FP16", _command("export", self.run, "--out", self.fp16, *half), self.export_fp16
        for name, path in (("FP32", self.fp32), ("FP16", self.fp16)):
            yield f"Verify {name}", _command("verify", path, "--against", self.run), partial(self.verify, path)
        yield "Evaluate on unseen signers", _command("evaluate", self.fp32, self.unseen), self.evaluate_unseen
        yield "Predict", _command("predict", self.unseen, "--model", self.fp32), self.predict
        both = ("--model", self.fp32, "--model", self.fp16)
        yield "Benchmark", _command("benchmark", *both), self.benchmark

    def synthesize(self) -> Outcome:
        from asl_edge.data.synthetic import synthesize

        config = self.config
        report = synthesize(
            self.hands,
            per_class=config.per_class,
            classes=config.classes,
            seed=config.seed,
            clip_frames=1,
            framing=FRAMING,
        )
        synthesize(
            self.unseen,
            per_class=UNSEEN_PER_CLASS,
            classes=config.classes,
            seed=config.seed + 1_000_003,
            clip_frames=1,
            framing=FRAMING,
        )
        unseen = len(config.classes) * UNSEEN_PER_CLASS
        text = f"{report.images} images, {report.images_per_second:.0f} per second; {unseen} more of unseen signers"
        return text, {"images": report.images, "images_per_second": report.images_per_second}

    def prepare(self) -> Outcome:
        from asl_edge.data.prepare.prepare import prepare

        size = networks.get(self.config.network).input_size
        report = prepare(PrepareConfig(sources=(self.hands,), out=self.arrays, classes=self.config.classes, size=size))
        sizes = {split: sum(counts.values()) for split, counts in report.counts.items()}
        text = ", ".join(f"{count} {split}" for split, count in sizes.items())
        text += f"; {report.images_per_second:.0f} images per second"
        return text, {"splits": sizes, "images_per_second": report.images_per_second}

    def train(self) -> Outcome:
        from asl_edge.data.arrays import PreparedArrays
        from asl_edge.training import recipes
        from asl_edge.training.loop.train import train

        recipe = recipes.get(RECIPE, network=self.config.network, epochs=self.config.epochs, seed=self.config.seed)
        result = train(recipe, PreparedArrays.open(self.arrays), self.run, progress=self.watcher.training)
        validation = result.scores["validation"]
        text = f"validation accuracy {validation.accuracy:.1%} at epoch {result.best_epoch} of {result.epochs}"
        return text, {"validation_accuracy": validation.accuracy, "epochs": result.epochs}

    def evaluate(self) -> Outcome:
        from asl_edge.evaluation.evaluate import evaluate

        report = evaluate(self.run, self.arrays)
        return f"test accuracy {report.accuracy:.1%} on {report.images} images", {"accuracy": report.accuracy}

    def export_fp32(self) -> Outcome:
        return self._export(self.fp32, "fp32")

    def export_fp16(self) -> Outcome:
        return self._export(self.fp16, "fp16")

    def _export(self, path: Path, precision: str) -> Outcome:
        from asl_edge.export.export import export_run

        result = export_run(self.run, path, precision=precision)
        parity = result.parity
        text = (
            f"{result.size_bytes / 1e6:.0f} MB in {result.conversion_seconds:.1f} s; {parity.label_agreement:.1%} of "
            f"labels equal to Keras, probabilities within {parity.max_probability_difference:.0e}"
        )
        return text, {"size_bytes": result.size_bytes, "parity": parity.to_dict()}

    def verify(self, path: Path) -> Outcome:
        from asl_edge.export.verify import verify

        result = verify(path, self.run)
        return f"agrees with Keras on {result.parity.images} images", {"images": result.parity.images}

    def evaluate_unseen(self) -> Outcome:
        from asl_edge.evaluation.evaluate import evaluate

        report = evaluate(self.fp32, self.unseen)
        self.unseen_accuracy, self.unseen_images = report.accuracy, report.images
        text = f"accuracy {report.accuracy:.1%} on {report.images} images of unseen synthetic signers"
        return text, {"accuracy": report.accuracy, "images": report.images}

    def predict(self) -> Outcome:
        from asl_edge.imaging.preprocess import load
        from asl_edge.runtime.predictor import Predictor

        each = max(1, _GALLERY_TILES // len(self.config.classes))
        paths = [
            self.unseen / name / f"{name}{1 + number}.jpg" for name in self.config.classes for number in range(each)
        ]
        with Predictor(self.fp32) as predictor:
            predictions = predictor(paths)
        classified = [
            Classified(load(path, 224), path.parent.name, prediction.label, prediction.confidence)
            for path, prediction in zip(paths, predictions, strict=True)
        ]
        write_gallery(classified, self.config.out / GALLERY_FILE)
        milliseconds = float(np.median([prediction.ms for prediction in predictions]))
        return f"{len(classified)} images with their predictions in {GALLERY_FILE}", {"median_ms": milliseconds}

    def benchmark(self) -> Outcome:
        from asl_edge.bench.runner import benchmark
        from asl_edge.bench.scenarios import Effort, variants

        report = benchmark(variants([self.fp32, self.fp16], providers=["cpu"]), Effort(rounds=2, runs=20))
        parts = []
        for result in report.results:
            if result.summary is not None:
                precision = "FP32" if result.variant.model == str(self.fp32) else "FP16"
                parts.append(f"{precision} {result.summary.p50_ms:.1f} ms")
        return "median per image on the CPU: " + ", ".join(parts), {"report": report.to_dict()}


def _command(*words: object) -> str:
    return shlex.join(["asl-edge", *(str(word) for word in words)])
