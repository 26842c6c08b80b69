"""The public functions that do what a command does: thin, with imports that wait until they are called."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from asl_edge.errors import UserError

if TYPE_CHECKING:
    from asl_edge.bench.report import BenchmarkReport
    from asl_edge.bench.scenarios import Effort
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.data.prepare.prepare import OnProgress, PrepareConfig, PrepareReport
    from asl_edge.evaluation.report import EvaluationReport
    from asl_edge.export.verify import Verification
    from asl_edge.runtime.adapt import AdaptationReport
    from asl_edge.runtime.adaptation import Adaptation
    from asl_edge.runtime.bundle.golden_test import GoldenResult
    from asl_edge.runtime.streams.prediction import Prediction
    from asl_edge.training.config import TrainConfig
    from asl_edge.training.loop.progress import Progress
    from asl_edge.training.loop.train import TrainResult

PathLike = Union[str, "os.PathLike[str]"]


def prepare(
    sources: PrepareConfig | PathLike | Sequence[PathLike],
    out: PathLike | None = None,
    *,
    on_progress: OnProgress | None = None,
    **choices: Any,
) -> PrepareReport:
    """Turn labelled images into arrays with honest splits and a leak report, as `asl-edge data prepare` does.

    Args:
        sources: a folder or zip of labelled images, several of them, or a `PrepareConfig` that holds every choice.
        out: the folder to write; a `PrepareConfig` names it itself.
        on_progress: called with the stage, the number of images done and their total.
        choices: further fields of `PrepareConfig`, such as `size`, `split` or `overwrite`.

    Returns:
        What was written, what was skipped and why, and how much the splits leak.

    Raises:
        DataError: a source or a choice cannot be used.

    Example:
        >>> report = asl_edge.prepare("hands", "arrays", size=128)
        >>> report.classes
        ('A', 'B', 'C')
    """
    from asl_edge.data.prepare.prepare import PrepareConfig
    from asl_edge.data.prepare.prepare import prepare as run

    if isinstance(sources, PrepareConfig):
        if out is not None or choices:
            raise UserError("A PrepareConfig holds every choice. Set out and the rest there, or give paths instead.")
        return run(sources, on_progress)
    if out is None:
        raise UserError("Name the folder to write: asl_edge.prepare(sources, out)")
    paths = (sources,) if isinstance(sources, (str, os.PathLike)) else tuple(sources)
    config = PrepareConfig(sources=tuple(Path(path) for path in paths), out=Path(out), **choices)
    return run(config, on_progress)


def train(
    arrays: PathLike | PreparedArrays,
    out: PathLike,
    config: TrainConfig | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a network on prepared arrays, as `asl-edge train` does.

    Args:
        arrays: a folder that `prepare` wrote, or `PreparedArrays.open(...)` for arrays without a manifest.
        out: the run folder to make.
        config: every choice of the training; `asl_edge.recipe(...)` makes one. None for the recipe `default` or, with
            `resume`, for the choices that the run was started with.
        resume: continue the run in `out` where it stopped.
        overwrite: replace the run in `out`.
        progress: is told of every epoch; None for silence.

    Returns:
        The run folder, the history, the best epoch and its scores on the validation and the test split.

    Raises:
        RunError: a run is in the way, or there is none to resume.
        DataError: the arrays cannot be used.
        TrainingError: the loss is NaN or diverges, the disk is full, or the arrays changed.
        MissingPackageError: TensorFlow or another package of the extra `train` is not installed.

    Example:
        >>> result = asl_edge.train("arrays", "run", asl_edge.recipe("default", epochs=1, network="alexnet-edge"))
        >>> sorted(result.scores)
        ['test', 'validation']
    """
    from asl_edge.data.arrays import PreparedArrays
    from asl_edge.training.config import TrainConfig
    from asl_edge.training.loop.start import resumed_config
    from asl_edge.training.loop.train import train as run

    if config is None:
        config = resumed_config(Path(out)) if resume else recipe()
    elif not isinstance(config, TrainConfig):
        raise UserError(f"config must be a TrainConfig, such as asl_edge.recipe(...). Received: {config!r}")
    prepared = arrays if isinstance(arrays, PreparedArrays) else PreparedArrays.open(arrays, check=True)
    return run(config, prepared, Path(out), resume=resume, overwrite=overwrite, progress=progress)


def recipe(name: str | None = None, **changes: Any) -> TrainConfig:
    """Return a named set of training choices, some of them changed.

    Args:
        name: `default`, `tutorial`, `finetune`, ...; None for `default` or, with `start_from`, for `finetune`.
        changes: fields of `TrainConfig`. `start_from` is a run folder, a `.keras` file, an exported `.onnx` file or
            `pretrained`; the network is then that model's unless `network` names it.

    Raises:
        UserError: there is no such recipe or field, or a value breaks its rule.
        ModelError: the model to start from cannot be used.

    Example:
        >>> asl_edge.recipe("finetune", start_from="pretrained", epochs=5).network
        'alexnet-edge-8-landmarks'
    """
    from asl_edge.training import recipes

    start = changes.get("start_from")
    if start is None:
        return recipes.get(name or recipes.DEFAULT, **changes)
    from asl_edge.training.pretrained.source import open_pretrained

    if changes.get("network") is None:
        changes["network"] = open_pretrained(start).network
    return recipes.get(name or recipes.FINETUNE, **changes)


def evaluate(model: PathLike, data: PathLike, **choices: Any) -> EvaluationReport:
    """Measure a model on labelled images, as `asl-edge evaluate` does.

    Args:
        model: a run folder, a `.keras` file, an `.onnx` file, a bundle, or `pretrained`.
        data: prepared arrays, or a folder or zip of images.
        choices: of `asl_edge.evaluation.evaluate.evaluate`, such as `split`, `threshold`, `mirrored`, `provider`.

    Returns:
        Accuracy with its 95% interval, top-3 accuracy, calibration error, confusion counts, per-class figures.

    Raises:
        UserError: the model, the data or a choice cannot be used; its subclasses name the fault.

    Example:
        >>> report = asl_edge.evaluate("run", "arrays", split="test")
        >>> 0 <= report.accuracy <= 1
        True
    """
    from asl_edge.evaluation.evaluate import evaluate as run
    from asl_edge.runtime.pretrained import resolve

    return run(resolve(model), data, **choices)


def verify(model: PathLike, against: PathLike | None = None, **choices: Any) -> Verification | tuple[GoldenResult, ...]:
    """Compare an exported file with its source, or run a bundle's golden examples on this device.

    Args:
        model: an `.onnx` file, or a bundle (`.aslz`).
        against: the run, `.keras` file or other source of an `.onnx` file. A bundle needs none.
        choices: `data` and `described` for an `.onnx` file; `provider`, `threads` and `precisions` for a bundle.

    Returns:
        `Verification` of an `.onnx` file; of a bundle one `GoldenResult` per precision, whose `passed` says whether
        this device computes it correctly.

    Raises:
        ParityError: an `.onnx` file disagrees with its source. (A bundle's results say so instead.)
        ModelError, RunError, DataError, ProviderError: a part cannot be used.
        UserError: an `.onnx` file without `against`.

    Example:
        >>> asl_edge.verify("model.onnx", "run").parity.passed
        True
        >>> all(result.passed for result in asl_edge.verify("model.aslz"))
        True
    """
    from asl_edge.runtime.bundle.detection import is_bundle

    if against is None and is_bundle(model):
        from asl_edge.runtime.bundle.golden_test import verify_bundle
        from asl_edge.runtime.bundle.reader import Bundle

        return verify_bundle(Bundle(Path(model)), **choices)
    if against is None:
        raise UserError(f"Name what {model} was exported from: verify(model, against=RUN)")
    from asl_edge.export.verify import verify as run

    return run(model, against, **choices)


def predict(
    sources: PathLike | Sequence[PathLike],
    model: PathLike | None = None,
    *,
    on_skip: Callable[[str, str], None] | None = None,
    **choices: Any,
) -> list[Prediction]:
    """Classify images, folders, patterns and videos, as `asl-edge predict` does.

    For arrays and bytes, and to classify more than once without opening the model again, use `Predictor`.

    Args:
        sources: one or several of: an image, a folder, a pattern such as `hands/*.jpg`, a video.
        model: an `.onnx` file or a bundle; None for the pretrained model.
        on_skip: called with name and reason of an image that cannot be read, which is then left out. Without it such
            an image raises.
        choices: fields of `PredictConfig` (`batch_size`, `threshold`, `top_k`, `adaptation`) and of `ModelOptions`
            (`provider`, `strict`, `precision`, `threads`, `zoom`, ...) by name.

    Returns:
        One prediction per image or frame, in order.

    Raises:
        ImageError: an image cannot be read and there is no `on_skip`.
        ModelError, ProviderError, MissingPackageError: the model cannot be used here.
        UserError: a source never ends (a camera, a stream): use `Predictor.stream`.

    Example:
        >>> predictions = asl_edge.predict("hands")
        >>> predictions[0].label, predictions[0].accepted
        ('A', True)
    """
    from dataclasses import fields

    from asl_edge.errors import ImageError
    from asl_edge.runtime.predict import PredictConfig, predict_sources
    from asl_edge.runtime.streams.sources import is_endless

    def refuse(source: str, reason: str) -> None:
        raise ImageError(f"{source}: {reason}")

    given = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    names = [os.fspath(source) for source in given]
    for name in names:
        if is_endless(name):
            raise UserError(f"{name} has no end, so it cannot become a list. Use Predictor.stream for it.")
    config = PredictConfig(
        **{each.name: choices.pop(each.name) for each in fields(PredictConfig) if each.name in choices}
    )
    collected = _Collected()
    predict_sources(names, [collected], model=model, config=config, on_skip=on_skip or refuse, **choices)
    return collected.predictions


class _Collected:
    """A sink that keeps every prediction."""

    def __init__(self) -> None:
        self.predictions: list[Prediction] = []

    def __enter__(self) -> _Collected:
        return self

    def __exit__(self, *_: object) -> None:
        """There is nothing to close."""

    def write(self, prediction: Prediction, frame: object = None) -> None:
        """Keep a prediction."""
        self.predictions.append(prediction)


def adapt(
    images: PathLike | Sequence[PathLike],
    out: PathLike | None = None,
    model: PathLike | None = None,
    *,
    provider: str = "auto",
    on_progress: Callable[[int], None] | None = None,
) -> tuple[Adaptation, AdaptationReport]:
    """Fit the last layer of a model to the images of one signer, as `asl-edge adapt` does.

    Args:
        images: one or several folders, each with one folder per class (`A`, `B`, ... `space`).
        out: the `.npz` file to write; None writes nothing.
        model: an `.onnx` file or a bundle; None for the pretrained model.
        provider: execution provider, or `auto`.
        on_progress: called with the number of images read so far.

    Returns:
        The adaptation, for `Predictor(adaptation=...)`, and its cross-validated accuracy before and after.

    Raises:
        DataError: there are too few images, or images of one class only.
        ModelError: the model offers no features to adapt with.

    Example:
        >>> adaptation, report = asl_edge.adapt("hands", "mine.npz")
        >>> report.classes
        ('A', 'B', 'C')
        >>> predictions = asl_edge.predict("hands", adaptation="mine.npz")
    """
    from asl_edge.data.synthetic.rehearsal_images import stand_ins
    from asl_edge.runtime.adapt import adapt as run
    from asl_edge.runtime.predictor import Predictor

    folders = [images] if isinstance(images, (str, os.PathLike)) else list(images)
    with Predictor(model, provider=provider) as predictor:
        adaptation, report = run(predictor, folders, draw=stand_ins, on_progress=on_progress)
    if out is not None:
        adaptation.save(Path(out))
    return adaptation, report


def benchmark(
    models: PathLike | Sequence[PathLike] | None = None,
    *,
    providers: Sequence[str] = ("auto",),
    batch_sizes: Sequence[int] = (1,),
    threads: Sequence[int | None] = (None,),
    effort: Effort | None = None,
    data: PathLike | None = None,
    strict: bool = False,
) -> BenchmarkReport:
    """Measure latency, throughput, load time and memory of models, as `asl-edge benchmark` does.

    Every combination of model, provider, batch size and threads runs in a process of its own, in turns.

    Args:
        models: one or several `.onnx` files or bundles; None for the pretrained model.
        providers: execution providers, or `auto`.
        batch_sizes: images classified at once.
        threads: threads within one operator; None for one per core.
        effort: rounds, runs and warm-up; None for the default.
        data: labelled images; accuracy on them stands next to the speed.
        strict: a variant fails instead of being measured on another provider than it asks for.

    Returns:
        Every sample, and the machine that it was measured on; `to_text()` and `to_markdown()` render it.

    Raises:
        ModelError: a model file is missing or was not made by asl-edge.
        UserError: a number is out of range.

    Example:
        >>> report = asl_edge.benchmark("model.onnx", effort=asl_edge.Effort(rounds=1, runs=3))
        >>> report.complete
        True
    """
    import tempfile

    from asl_edge.bench.runner import benchmark as run
    from asl_edge.bench.scenarios import variants
    from asl_edge.evaluation.benchmark_images import refuse_unusable, with_accuracy, write_images
    from asl_edge.runtime.pretrained import resolve

    given = [models] if models is None or isinstance(models, (str, os.PathLike)) else models
    chosen = variants([resolve(model) for model in given], providers, batch_sizes, threads)
    if data is not None:
        refuse_unusable((variant.model for variant in chosen), data)
    with tempfile.TemporaryDirectory() as folder:
        files, what = write_images(Path(folder), data)
        report = run(chosen, effort, strict=strict, files=files, images=what)
    return report if data is None else with_accuracy(report, data)
