"""The stages by which the pretrained model is made, in order: what each reads, writes and does.

Names of inputs and outputs are paths below the work folder. Stages 01 to 07 train `alexnet-edge`, with five
convolutions; 08 distils its first layers into `alexnet-edge-8`, which is trained on and released.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from asl_edge.labels import CLASSES
from pretrained.copy_paste_images import CopyPaste, write_images
from pretrained.dataset import TrainingData, prepare_arrays
from pretrained.distill import STUDENT, TEACHER, distill
from pretrained.experiments.leave_one_source_out import TEMPERATURE_FILE, LeaveOneOut, leave_one_source_out
from pretrained.interpolate_weights import Epoch, interpolate
from pretrained.release import PRECISION, read_temperature, release
from pretrained.train_stage import TrainStage, run_stage

RELEASED = "alexnet-edge-8.onnx"
LOG_FILE = "log.jsonl"
_LEFT_OUT_FOLDER = "leave-one-source-out"


@dataclass(frozen=True)
class Stage:
    """A step of the chain."""

    name: str
    about: str
    """What it does, as a phrase."""
    run: Callable[[], object]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    """Removed before the stage starts from scratch."""


@dataclass(frozen=True)
class Scale:
    """How large everything is. The default makes the pretrained model; `TOY` takes the same path in a minute."""

    size: int = 128
    """Side of the images in pixels."""
    experiment_size: int = 96
    """The same, of the trainings that leave a source out."""
    classes: tuple[str, ...] | None = None
    """None takes all that there are."""
    per_class: int | None = None
    """At most this many synthetic and copy-paste images per class."""
    epochs: int | None = None
    """At most this many per training."""
    steps: int = 280
    """Batches per epoch, of the distillation; `experiment_steps` of the trainings that leave a source out."""
    experiment_steps: int = 140
    left_out: tuple[str, ...] = LeaveOneOut().sources
    precision: str = PRECISION
    """Of the exported files."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `TrainConfig` for every training."""

    def images(self, per_class: int) -> int:
        """Return how many images per class are made where the full scale makes `per_class`."""
        return per_class if self.per_class is None else min(per_class, self.per_class)

    def training(self, epochs: int | None = None, **settings: Any) -> dict[str, Any]:
        """Return the settings of a training; `epochs` None leaves the recipe's."""
        if self.epochs is not None:
            epochs = self.epochs
        return {**({} if epochs is None else {"epochs": epochs}), **settings, **self.settings}


TOY = Scale(
    size=32,
    experiment_size=32,
    classes=("A", "B", "L", "nothing"),
    per_class=8,
    epochs=1,
    steps=1,
    experiment_steps=1,
    left_out=("kaggle", "signer-r"),
    precision="fp32",  # untrained networks have ties, which rounded weights decide differently
    settings={
        "steps_per_epoch": 1, "batch_size": 8, "augmentation": "none", "zoom": False, "precision": "float32",
        "fast_convolution": "off", "xla": "off", "on_device": "off",
    },
)  # fmt: skip


@dataclass(frozen=True)
class Chain:
    """Builds the stages for one data folder, work folder and scale."""

    data: Path
    work: Path
    scale: Scale = field(default_factory=Scale)

    def stages(self) -> list[Stage]:
        """Return all stages in order."""
        return [
            *self._five_convolutions(),
            *self._copy_paste_stages(),
            *self._eight_convolutions(),
            *self._rarer_poses(),
            *self._release(),
        ]

    def _five_convolutions(self) -> list[Stage]:
        wide = self._training_data(1500, "wide", mirror=("signer-r", "signer-m"))
        wider = self._training_data(2000, "wider")
        widest = self._training_data(3500, "widest", synthetic_seed=2, validate_on_synthetic=True)
        plain: dict[str, Any] = {"flip_probability": 0.0, "dropout_scale": 1.0}
        mean = "Mean of the weights of"
        return [
            self._arrays("01-arrays", wide),
            self._train("01-wide", wide, None, TEACHER, self.scale.training(**plain)),
            self._arrays("02-arrays", wider),
            self._train("02-wider", wider, "01-wide", TEACHER, self.scale.training(58, learning_rate=0.0008, **plain)),
            self._interpolate("02-mean", "01-wide", "02-wider", wider, 0.75, about=f"{mean} 01 and 02"),
            self._arrays("03-arrays", widest),
            self._train("03-mirrored", widest, "02-mean", TEACHER, self._continued(36, 0.0008)),
            self._train("04-wider-ranges", widest, "03-mirrored", TEACHER, self._continued(24, 0.0006), dev=True),
            self._interpolate("04-both", "03-mirrored", "04-wider-ranges", widest, 0.5, about=f"{mean} 03 and 04"),
            self._interpolate("04-mean", "02-mean", "04-both", widest, 0.75, about=f"{mean} 02-mean and 04-both"),
            self._train("05-light", widest, "04-mean", TEACHER, self._continued(24, 0.0006), dev=True),
            self._interpolate(
                "05-mean", "04-mean", "05-light", widest, 0.5, epoch="last", about=f"{mean} 04-mean and 05"
            ),
            self._export("05-model", "05-mean"),
        ]

    def _copy_paste_stages(self) -> list[Stage]:
        sixth, first = self._copy_paste_data("06", 4, "widest")
        seventh, second = self._copy_paste_data("07", 5, "widest")
        return [
            *self._hands("06", first, sixth, judge="05-model", seed=0),
            self._train("06-copy-paste", sixth, "05-mean", TEACHER, self._continued(36, 0.0009), dev=True),
            self._interpolate("06-final", "05-mean", "06-copy-paste", sixth, 1.0, epoch="last"),
            self._export("06-model", "06-final"),
            *self._hands("07", second, seventh, judge="06-model", seed=0),
            self._train("07-relit-copy-paste", seventh, "06-model", TEACHER, self._continued(62, 0.001), dev=True),
            self._interpolate("07-final", "06-model", "07-relit-copy-paste", seventh, 1.0, epoch="last"),
            self._export("07-model", "07-final"),
        ]

    def _eight_convolutions(self) -> list[Stage]:
        eighth, plain = self._copy_paste_data("08", 6, "widest")
        name = "08-eight-convolutions"
        settings = self.scale.training(52, learning_rate=0.001, source_exponent=0.42)
        distilling = partial(
            distill, self.work / "07-final", self.work / eighth.label(), self.work / "08-student",
            epochs=min(4, self.scale.epochs or 4), steps=self.scale.steps,
        )  # fmt: skip
        return [
            *self._hands("08", plain, eighth, judge="07-model", seed=6),
            Stage(
                "08-student", f"Distil the first layers of 07 into {STUDENT}", distilling,
                ("07-final", eighth.label()), ("08-student",),
            ),
            self._train(name, eighth, "08-student", STUDENT, settings, dev=True),
            self._interpolate("08-final", name, name, eighth, 1.0, epoch="last"),
            self._export("08-model", "08-final"),
        ]  # fmt: skip

    def _rarer_poses(self) -> list[Stage]:
        ninth, plain = self._copy_paste_data("09", 8, "rarer")
        about = "Mean of the weights of 08 and 09"
        return [
            *self._hands("09", plain, ninth, judge="08-model", seed=8),
            self._train("09-rarer-poses", ninth, "08-model", STUDENT, self._continued(34, 0.0009), dev=True),
            self._interpolate("09-final", "08-model", "09-rarer-poses", ninth, 0.5, epoch="last", about=about),
        ]

    def _release(self) -> list[Stage]:
        ninth, plain = self._copy_paste_data("09", 8, "rarer")
        chosen = LeaveOneOut()
        chosen = replace(
            chosen,
            size=self.scale.experiment_size,
            sources=self.scale.left_out,
            copy_paste=replace(
                chosen.copy_paste,
                per_class=self.scale.images(chosen.copy_paste.per_class),
                synthetic=self.scale.images(chosen.copy_paste.synthetic),
                classes=self.scale.classes or CLASSES,
            ),
            synthetic=self.scale.images(chosen.synthetic),
            synthetic_only=self.scale.images(chosen.synthetic_only),
            synthetic_only_epochs=self.scale.epochs or chosen.synthetic_only_epochs,
            epochs=self.scale.epochs or chosen.epochs,
            steps_per_epoch=self.scale.experiment_steps,
            settings=self.scale.settings,
            classes=self.scale.classes,
        )
        arrays, folder = self.work / plain.label(), self.work / _LEFT_OUT_FOLDER
        temperature = f"{_LEFT_OUT_FOLDER}/{TEMPERATURE_FILE}"
        leaving_out = partial(
            leave_one_source_out, self.data, arrays, folder, self.work / LOG_FILE, chosen,
            judge=self.work / "08-model" / "model.onnx",
        )  # fmt: skip

        def release_it() -> None:
            value = read_temperature(self.work / temperature)
            run, out, precision = self.work / "09-final", self.work / RELEASED, self.scale.precision
            release(run, self.data, self.work / ninth.label(), value, out, precision=precision)

        return [
            Stage(
                _LEFT_OUT_FOLDER, "Smaller trainings without each source; the temperature of their predictions",
                leaving_out, (plain.label(), "08-model"), (_LEFT_OUT_FOLDER,),
            ),
            Stage(
                "release", f"Threshold, figures and card; {RELEASED}", release_it,
                ("09-final", ninth.label(), temperature), (RELEASED,),
            ),
        ]  # fmt: skip

    def _continued(self, epochs: int, learning_rate: float) -> dict[str, Any]:
        return self.scale.training(epochs, learning_rate=learning_rate, source_exponent=0.42)

    def _training_data(self, synthetic: int, variety: str, **choices: Any) -> TrainingData:
        counts = (self.scale.images(synthetic), self.scale.images(40))
        return TrainingData(
            size=self.scale.size,
            synthetic=counts[0],
            variety=variety,
            validation_synthetic=counts[1],
            classes=self.scale.classes,
            **choices,
        )

    def _copy_paste_data(self, number: str, seed: int, variety: str) -> tuple[TrainingData, TrainingData]:
        """Return what a stage trains on with copy-paste images, and the same without them."""
        plain = self._training_data(2200, variety, synthetic_seed=seed, validate_on_synthetic=True)
        return replace(plain, also=(self.work / f"{number}-hands",)), plain

    def _hands(self, number: str, plain: TrainingData, chosen: TrainingData, judge: str, seed: int) -> list[Stage]:
        """Return the stages that make copy-paste images and the arrays with them."""
        hands, arrays = f"{number}-hands", self.work / plain.label()
        counts = CopyPaste(
            self.scale.images(2000), self.scale.images(300), seed=seed, classes=self.scale.classes or CLASSES
        )
        judging = self.work / judge / "model.onnx"
        return [
            self._arrays(f"{number}-photographs", plain),
            Stage(
                hands, "Copy-paste images", partial(write_images, arrays, self.work / hands, counts, judge=judging),
                (plain.label(), judge), (hands,),
            ),
            self._arrays(f"{number}-arrays", chosen, (hands,)),
        ]  # fmt: skip

    def _arrays(self, name: str, chosen: TrainingData, inputs: tuple[str, ...] = ()) -> Stage:
        preparing = partial(prepare_arrays, chosen, self.data, self.work)
        return Stage(name, f"Prepare {chosen.describe()}", preparing, inputs, (chosen.label(),))

    def _train(
        self, name: str, chosen: TrainingData, start: str | None, network: str, settings: Mapping[str, Any],
        dev: bool = False,
    ) -> Stage:  # fmt: skip
        model = None
        if start is not None:
            exported = start.endswith("-model")
            model = str(self.work / start / "model.onnx" if exported else self.work / start)
        stage = TrainStage(name, chosen, network, model, settings=settings, evaluate_dev=dev)
        training = partial(run_stage, stage, self.data, self.work, self.work / LOG_FILE)
        about = f"Train {network}" + (f" from {start}" if start else "")
        return Stage(name, about, training, (chosen.label(), *([start] if start else [])), (name,))

    def _interpolate(
        self, name: str, before: str, after: str, chosen: TrainingData, share: float, *, epoch: Epoch = "best",
        about: str = "Statistics of batch normalisation estimated again",
    ) -> Stage:  # fmt: skip
        model = self.work / before / "model.onnx" if before.endswith("-model") else self.work / before
        mixing = partial(
            interpolate, str(model), self.work / after, self.work / chosen.label(), self.work / name,
            share=share, epoch=epoch,
        )  # fmt: skip
        return Stage(name, about, mixing, tuple(dict.fromkeys((before, after, chosen.label()))), (name,))

    def _export(self, name: str, run: str) -> Stage:
        def export() -> None:
            from asl_edge.export.export import export_run

            export_run(self.work / run, self.work / name / "model.onnx", precision=self.scale.precision)

        return Stage(name, f"Export {run}", export, (run,), (name,))
