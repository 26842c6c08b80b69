"""TrainConfig: every choice that a training depends on, checked on construction and saved in the run folder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_type_hints

from asl_edge.errors import RunError, UserError
from asl_edge.files.earlier_names import with_current_names

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["constant", "cosine"]
Precision = Literal["auto", "float32", "mixed"]
Keep = Literal["best3", "all"]
Switch = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class TrainConfig:
    """The choices of one training; a recipe is a named TrainConfig.

    Raises:
        UserError: on construction, when a field breaks its rule.
    """

    recipe: str
    """Name of the recipe that the choices started from."""
    network: str = "alexnet"
    """Name in the registry of networks."""
    start_from: str | None = None
    """Trained network whose weights are taken over: a run folder, a `.keras` file or an `.onnx` file that asl-edge
    exported, or `box` for the model in the box; None starts anew (see `asl_edge.training.pretrained.load`)."""
    epochs: int = 50
    batch_size: int = 32
    seed: int = 0
    """Starts the weights, the order of the images, dropout and augmentation."""

    optimizer: Optimizer = "sgd"
    learning_rate: float = 0.001
    """The constant, or the peak after the warm-up."""
    momentum: float = 0.0
    """Nesterov momentum of SGD; AdamW ignores it."""
    weight_decay: float = 0.0
    """Decoupled; biases and batch normalisation are left out."""
    schedule: Schedule = "constant"
    """`cosine` falls to a hundredth of the peak over all epochs."""
    warmup_epochs: float = 0.0
    """Epochs over which the rate rises in a line to its peak (cosine only)."""
    label_smoothing: float = 0.0
    """Share of the target spread evenly over all classes, in training and in the validation loss."""
    augmentation: str = "none"
    """Name in `asl_edge.training.augmentation`."""
    flip_probability: float | None = None
    """How often an image is mirrored, for a network that reads both hands; None leaves the augmentation's own (0)."""
    mixup_probability: float | None = None
    """How often two images and their labels are mixed; None leaves the augmentation's own (0)."""
    cutmix_probability: float | None = None
    """How often a part of an image is another's; None leaves the augmentation's own (0)."""
    ema_momentum: float = 0.0
    """Momentum of the exponential moving average of the weights, by which is validated and which is stored; 0: none."""
    clip_norm: float | None = None
    """Largest norm of all gradients together; larger ones are scaled down to it."""
    accumulate: int = 1
    """Batches whose gradients are averaged for one update of the weights."""
    balance_classes: bool = False
    """Weigh the loss of each image by the inverse of its class's share of the training images."""
    source_exponent: float = 1.0
    """Sources are fed in proportion to their images to the power of this: 1 every image alike, 0 every source."""
    drop_last: bool = False
    """Leave out the last batch of an epoch where it is smaller; other images are left out in every epoch."""
    norm_momentum: float | None = None
    """Momentum of the running averages of batch normalisation while training; None leaves the network's own (0.99),
    which needs some 500 steps before validation means anything."""
    dropout_scale: float = 1.0
    """Factor on the network's dropout rates while training; the stored network keeps its own rates."""

    precision: Precision = "float32"
    fast_convolution: Switch = "auto"
    """Compute large and strided convolutions in ways of our own (see `asl_edge.training.compute.fast_convolution`)."""
    xla: Switch = "auto"
    """Compile the step with XLA; `auto` tries where that may be slower (see
    `asl_edge.training.compute.compute_plan`)."""
    on_device: Switch = "auto"
    """Put all training and validation images into the accelerator's memory (see
    `asl_edge.training.input.on_device`)."""
    early_stopping: int | None = None
    """Stop after this many epochs without a better one (see `asl_edge.training.runs.checkpoints.best_epoch`)."""
    keep: Keep = "best3"
    """Which checkpoints stay: the best three and the last, or all."""
    checkpoint_minutes: float = 10.0
    """Within an epoch too, all that is needed to go on is saved every so many minutes."""
    checkpoint_steps: int | None = None
    """The same, counted in batches."""
    time_budget_minutes: float | None = None
    """What `epochs` was chosen to take, where it was chosen so."""
    zoom: bool = True
    """Fit a second look at small hands where the network can be told where it sees what, and keep it where it helps
    (see `asl_edge.training.zoom_fitting`)."""
    tensorboard: bool = False
    trackers: tuple[str, ...] = ()
    """Names of experiment trackers that are told of every epoch (see `asl_edge.training.loop.trackers`)."""
    steps_per_epoch: int | None = None
    """Cut every epoch short after this many batches (measurements, trials); None takes every image."""

    def __post_init__(self) -> None:
        """Check every field."""
        for name, lowest in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            _whole_number(name, getattr(self, name), lowest)
        _whole_number("accumulate", self.accumulate, 1)
        for name in ("early_stopping", "steps_per_epoch", "checkpoint_steps"):
            if getattr(self, name) is not None:
                _whole_number(name, getattr(self, name), 1)
        if self.seed >= 2**32:
            raise UserError(f"seed must be below 2**32. Received: {self.seed}")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise UserError(f"learning_rate must be above 0. Received: {self.learning_rate!r}")
        if self.start_from is not None and not self.start_from:
            raise UserError("start_from names a run folder, a .keras or an .onnx file. Received: ''")
        for name in ("clip_norm", "checkpoint_minutes", "time_budget_minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"{name} must be above 0. Received: {value!r}")
        if not (self.weight_decay >= 0 and math.isfinite(self.weight_decay)):
            raise UserError(f"weight_decay must be 0 or more. Received: {self.weight_decay!r}")
        if not 0 <= self.warmup_epochs < self.epochs and self.schedule == "cosine":
            raise UserError(
                f"warmup_epochs must be at least 0 and below epochs ({self.epochs}). Received: {self.warmup_epochs!r}"
            )
        if not 0 <= self.source_exponent <= 1:
            raise UserError(f"source_exponent must be between 0 and 1. Received: {self.source_exponent!r}")
        if not 0 <= self.dropout_scale <= 1:
            raise UserError(f"dropout_scale must be between 0 and 1. Received: {self.dropout_scale!r}")
        for name in ("flip_probability", "mixup_probability", "cutmix_probability"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise UserError(f"{name} must be between 0 and 1. Received: {value!r}")
        for name in ("momentum", "label_smoothing", "norm_momentum", "ema_momentum"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise UserError(f"{name} must be at least 0 and below 1. Received: {value!r}")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise UserError(f"{name} must be one of {', '.join(allowed)}. Received: {getattr(self, name)!r}")

    def to_dict(self) -> dict[str, Any]:
        """Return all fields, as `config.json` keeps them."""
        return asdict(self) | {"trackers": list(self.trackers)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Read the fields out of `config.json`, which holds more than these.

        Raises:
            RunError: a field is missing, as in a run of another version.
            UserError: a field breaks its rule.
        """
        values = with_current_names(dict(values))
        names = [item.name for item in fields(cls)]
        missing = [name for name in names if name not in values]
        if missing:
            raise RunError(
                f"The run's config lacks {', '.join(missing)}: another version of asl-edge made it. "
                "Train again into a new folder."
            )
        found: dict[str, Any] = {name: values[name] for name in names}
        return cls(**(found | {"trackers": tuple(found["trackers"])}))


_CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("sgd", "adamw"),
    "schedule": ("constant", "cosine"),
    "precision": ("auto", "float32", "mixed"),
    "keep": ("best3", "all"),
    "fast_convolution": ("auto", "on", "off"),
    "xla": ("auto", "on", "off"),
    "on_device": ("auto", "on", "off"),
}


def read_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Read choices as people write them, such as `label_smoothing=0.05`; the values are checked by `TrainConfig`.

    Raises:
        UserError: one is not written as NAME=VALUE, has an unknown name or a value of another kind, or comes twice.
    """
    kinds = get_type_hints(TrainConfig)
    names = sorted(set(kinds) - {"recipe", "trackers"})
    found: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = (part.strip() for part in setting.partition("="))
        if not (name and equals and text):
            raise UserError(f"A choice is written as NAME=VALUE, such as label_smoothing=0.05. Received: {setting!r}")
        if name not in names:
            close = get_close_matches(name, names, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise UserError(f"There is no choice named {name!r}.{hint} They are: {', '.join(names)}.")
        if name in found:
            raise UserError(f"{name} is set twice.")
        found[name] = _read_value(name, text, kinds[name])
    return found


def _read_value(name: str, text: str, kind: Any) -> Any:
    kinds = set(get_args(kind)) or {kind}
    if bool in kinds:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise UserError(f"{name} is true or false. Received: {text!r}")
    try:
        if int in kinds:
            return int(text)
        if float in kinds:
            return float(text)
    except ValueError:
        raise UserError(f"{name} is a {'whole ' if int in kinds else ''}number. Received: {text!r}") from None
    return text


def _whole_number(name: str, value: object, lowest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
        raise UserError(f"{name} must be a whole number of at least {lowest}. Received: {value!r}")
