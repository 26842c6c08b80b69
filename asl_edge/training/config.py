"""TrainConfig: every choice that a training depends on, checked on construction and saved in the run folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from asl_edge.errors import RunError, UserError

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["constant", "cosine"]
Precision = Literal["auto", "float32", "mixed"]
Keep = Literal["best3", "all"]
OnDevice = Literal["auto", "on", "off"]


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
    epochs: int = 50
    batch_size: int = 32
    seed: int = 0
    """Starts the weights, the order of the pictures, dropout and augmentation."""

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
    """How often a picture is mirrored, for a network that reads both hands; None leaves the augmentation's own (0)."""
    mixup_probability: float | None = None
    """How often two pictures and their labels are mixed; None leaves the augmentation's own (0)."""
    cutmix_probability: float | None = None
    """How often a part of a picture is another's; None leaves the augmentation's own (0)."""
    ema_momentum: float = 0.0
    """Momentum of the exponential moving average of the weights, by which is validated and which is stored; 0: none."""
    clip_norm: float | None = None
    """Largest norm of all gradients together; larger ones are scaled down to it."""
    accumulate: int = 1
    """Batches whose gradients are averaged for one update of the weights."""
    balance_classes: bool = False
    """Weigh the loss of each picture by the inverse of its class's share of the training pictures."""
    drop_last: bool = False
    """Leave out the last batch of an epoch where it is smaller; other pictures are left out in every epoch."""
    norm_momentum: float | None = None
    """Momentum of the running averages of batch normalisation while training; None leaves the network's own (0.99),
    which needs some 500 steps before validation means anything."""
    dropout_scale: float = 1.0
    """Factor on the network's dropout rates while training; the stored network keeps its own rates."""

    precision: Precision = "float32"
    on_device: OnDevice = "auto"
    """Put all training and validation pictures into the accelerator's memory (see `asl_edge.training.resident`)."""
    early_stopping: int | None = None
    """Stop after this many epochs without a better one (see `asl_edge.training.checkpoints.best_epoch`)."""
    keep: Keep = "best3"
    """Which checkpoints stay: the best three and the last, or all."""
    checkpoint_minutes: float = 10.0
    """Within an epoch too, all that is needed to go on is saved every so many minutes."""
    checkpoint_steps: int | None = None
    """The same, counted in batches."""
    time_budget_minutes: float | None = None
    """What `epochs` was chosen to take, where it was chosen so."""
    tensorboard: bool = False
    trackers: tuple[str, ...] = ()
    """Names of experiment trackers that are told of every epoch (see `asl_edge.training.tracking`)."""
    steps_per_epoch: int | None = None
    """Cut every epoch short after this many batches (measurements, trials); None takes every picture."""

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
    "on_device": ("auto", "on", "off"),
}


def _whole_number(name: str, value: object, lowest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
        raise UserError(f"{name} must be a whole number of at least {lowest}. Received: {value!r}")
