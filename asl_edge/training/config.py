"""TrainConfig: every choice that a training depends on, checked on construction and saved in the run folder.

Each field carries its rule and its help in its metadata: `ge`, `gt`, `le`, `lt` are bounds of a number; a `Literal`
type lists the allowed values. Errors, the parsing of `--set NAME=VALUE` and its help follow from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from types import NoneType
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from asl_edge.errors import RunError, UserError
from asl_edge.files.earlier_names import current_key, current_value, with_current_names

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["constant", "cosine"]
Precision = Literal["auto", "float32", "mixed"]
Keep = Literal["best3", "all"]
Switch = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class TrainConfig:
    """The choices of one training; a recipe is a named TrainConfig. `describe_settings` lists what each field means.

    Raises:
        UserError: on construction, when a field breaks its rule.
    """

    recipe: str
    """Name of the recipe that the choices started from."""
    network: str = field(default="alexnet", metadata={"help": "Name in the registry of networks."})
    start_from: str | None = field(
        default=None,
        metadata={
            "help": (
                "Trained network whose weights are transferred: a run folder, a .keras file or an .onnx file that "
                "asl-edge exported, or `pretrained` for the pretrained model. None trains from scratch."
            )
        },
    )
    epochs: int = field(default=50, metadata={"ge": 1, "help": "Epochs."})
    batch_size: int = field(default=32, metadata={"ge": 1, "help": "Images in a batch, all devices together."})
    seed: int = field(
        default=0,
        metadata={
            "ge": 0,
            "lt": 2**32,
            "help": "Seed of the initial weights, the order of the images, dropout and augmentation.",
        },
    )

    optimizer: Optimizer = field(default="sgd", metadata={"help": "Optimizer."})
    learning_rate: float = field(
        default=0.001, metadata={"gt": 0, "lt": math.inf, "help": "The constant rate, or the peak after the warm-up."}
    )
    momentum: float = field(
        default=0.0, metadata={"ge": 0, "lt": 1, "help": "Nesterov momentum of SGD; AdamW ignores it."}
    )
    weight_decay: float = field(
        default=0.0,
        metadata={
            "ge": 0,
            "lt": math.inf,
            "help": "Decoupled weight decay; biases and batch normalisation are excluded.",
        },
    )
    schedule: Schedule = field(
        default="constant", metadata={"help": "cosine falls to a hundredth of the peak over all epochs."}
    )
    warmup_epochs: float = field(
        default=0.0, metadata={"help": "Epochs over which the rate rises linearly to its peak (cosine only)."}
    )
    label_smoothing: float = field(
        default=0.0,
        metadata={
            "ge": 0,
            "lt": 1,
            "help": "Share of the target spread evenly over all classes, in training and validation loss.",
        },
    )
    augmentation: str = field(
        default="none", metadata={"help": "Name of an augmentation: none, light, strong, signer-independent."}
    )
    flip_probability: float | None = field(
        default=None,
        metadata={
            "ge": 0,
            "le": 1,
            "help": (
                "How often an image is mirrored, for a network that classifies both hands. None keeps the "
                "augmentation's own."
            ),
        },
    )
    mixup_probability: float | None = field(
        default=None,
        metadata={
            "ge": 0,
            "le": 1,
            "help": "How often two images and their labels are mixed. None keeps the augmentation's own.",
        },
    )
    cutmix_probability: float | None = field(
        default=None,
        metadata={
            "ge": 0,
            "le": 1,
            "help": "How often a part of an image comes from another. None keeps the augmentation's own.",
        },
    )
    ema_momentum: float = field(
        default=0.0,
        metadata={
            "ge": 0,
            "lt": 1,
            "help": (
                "Momentum of the exponential moving average of the weights, which is validated and stored; 0 keeps "
                "none."
            ),
        },
    )
    clip_norm: float | None = field(
        default=None,
        metadata={"gt": 0, "help": "Largest norm of all gradients together; larger ones are scaled down to it."},
    )
    accumulate: int = field(
        default=1, metadata={"ge": 1, "help": "Batches whose gradients are averaged for one update of the weights."}
    )
    balance_classes: bool = field(
        default=False,
        metadata={"help": "Weight the loss of each image by the inverse of its class's share of the training images."},
    )
    source_exponent: float = field(
        default=1.0,
        metadata={
            "ge": 0,
            "le": 1,
            "help": (
                "Sources are sampled in proportion to their number of images to this power: 1 treats every image "
                "alike, 0 every source."
            ),
        },
    )
    drop_last: bool = field(
        default=False,
        metadata={
            "help": "Leave out the last batch of an epoch where it is smaller; every epoch leaves out other images."
        },
    )
    norm_momentum: float | None = field(
        default=None,
        metadata={
            "ge": 0,
            "lt": 1,
            "help": (
                "Momentum of the running averages of batch normalisation in training. None keeps the network's own "
                "(0.99), which needs some 500 steps before validation means anything."
            ),
        },
    )
    dropout_scale: float = field(
        default=1.0,
        metadata={
            "ge": 0,
            "le": 1,
            "help": "Factor on the network's dropout rates in training; the stored network keeps its own rates.",
        },
    )

    precision: Precision = field(
        default="float32", metadata={"help": "mixed uses bfloat16 (float16 on older GPUs), auto where it is faster."}
    )
    fast_convolution: Switch = field(
        default="auto",
        metadata={"help": "Compute large convolutions with FFTs and rearrange strided ones, which is faster on a CPU."},
    )
    xla: Switch = field(
        default="auto", metadata={"help": "Compile the step with XLA; auto measures where that may be slower."}
    )
    on_device: Switch = field(
        default="auto", metadata={"help": "Put all training and validation images into the accelerator's memory."}
    )
    early_stopping: int | None = field(
        default=None, metadata={"ge": 1, "help": "Stop after this many epochs without a higher validation accuracy."}
    )
    keep: Keep = field(default="best3", metadata={"help": "Checkpoints to keep: the best three and the last, or all."})
    checkpoint_minutes: float = field(
        default=10.0,
        metadata={"gt": 0, "help": "Minutes between saves of everything needed to resume, within an epoch."},
    )
    checkpoint_steps: int | None = field(default=None, metadata={"ge": 1, "help": "The same in batches."})
    time_budget_minutes: float | None = field(
        default=None, metadata={"gt": 0, "help": "Train for as many epochs as end within this many minutes."}
    )
    zoom: bool = field(
        default=True,
        metadata={"help": "Fit a zoom pass for small hands, where the network allows it, and keep it where it helps."},
    )
    tensorboard: bool = field(default=False, metadata={"help": "Write TensorBoard logs into the run folder."})
    trackers: tuple[str, ...] = field(
        default=(), metadata={"help": "Experiment trackers that receive every epoch: wandb, mlflow."}
    )
    steps_per_epoch: int | None = field(
        default=None, metadata={"ge": 1, "help": "End every epoch after this many batches. None takes every image."}
    )

    def __post_init__(self) -> None:
        """Check every field; what earlier versions called recipes and augmentations gets its current name."""
        for name in ("recipe", "augmentation", "start_from"):
            object.__setattr__(self, name, current_value(name, getattr(self, name)))
        for item in fields(self):
            _check(item, getattr(self, item.name))
        if self.start_from is not None and not self.start_from:
            raise UserError("start_from names a run folder, a .keras or an .onnx file. Received: ''")
        if self.schedule == "cosine" and not 0 <= self.warmup_epochs < self.epochs:
            raise UserError(
                f"warmup_epochs must be at least 0 and below epochs ({self.epochs}). Received: {self.warmup_epochs!r}"
            )

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
        config: dict[str, Any] = {name: values[name] for name in names}
        return cls(**(config | {"trackers": tuple(config["trackers"])}))


class _Kind(NamedTuple):
    """What a field may hold, besides None."""

    type: type
    choices: tuple[str, ...]


@cache
def _kinds() -> dict[str, _Kind]:
    """Return the kind of every field, from the type hints."""
    kinds = {}
    for name, hint in get_type_hints(TrainConfig).items():
        if get_origin(hint) is Literal:
            kinds[name] = _Kind(str, get_args(hint))
        else:
            options = [option for option in get_args(hint) if option is not NoneType]
            kinds[name] = _Kind(options[0] if NoneType in get_args(hint) else get_origin(hint) or hint, ())
    return kinds


def _check(item: Field[Any], value: Any) -> None:
    """Check one field.

    Raises:
        UserError: the value breaks the field's rule.
    """
    if value is None and item.default is None:
        return
    kind, rule = _kinds()[item.name], item.metadata
    if kind.choices:
        if value not in kind.choices:
            raise UserError(f"{item.name} must be one of {', '.join(kind.choices)}. Received: {value!r}")
    elif kind.type in (int, float) and not (_is_number(value, kind.type) and _within(value, rule)):
        raise UserError(f"{item.name} must be {_describe_number(kind.type, rule)}. Received: {value!r}")


def _is_number(value: object, kind: type) -> bool:
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, int | float)


def _within(value: float, rule: Mapping[str, float]) -> bool:
    """Tell whether a number keeps to its bounds; NaN does where there are none."""
    return (
        ("ge" not in rule or value >= rule["ge"])
        and ("gt" not in rule or value > rule["gt"])
        and ("le" not in rule or value <= rule["le"])
        and ("lt" not in rule or value < rule["lt"])
    )


def _describe_number(kind: type, rule: Mapping[str, float]) -> str:
    """Describe the values that a field may have, such as `a whole number of at least 1`."""
    low, below = rule.get("ge"), rule.get("lt", math.inf)
    if kind is int:
        bounds = [] if low is None else [f"of at least {low}"]
        bounds += [] if math.isinf(below) else [f"below 2**{int(below).bit_length() - 1}"]
        return f"a whole number {' and '.join(bounds)}".strip()
    if "le" in rule:
        return f"between {low} and {rule['le']}"
    bounds = [f"above {rule['gt']}"] if "gt" in rule else [] if low is None else [f"at least {low}"]
    bounds += [] if math.isinf(below) else [f"below {below}"]
    return " and ".join(bounds) or "a number"


class Setting(NamedTuple):
    """One choice that `--set NAME=VALUE` takes, for people."""

    name: str
    values: str
    """What it may be, such as `true or false`, `auto, on, off` or `a whole number of at least 1`."""
    default: str
    """Where a recipe does not choose it."""
    help: str


def describe_settings() -> list[Setting]:
    """Return every choice that `--set` takes, in the order of `TrainConfig`."""
    return [
        Setting(item.name, _describe_values(item), _written(item.default), item.metadata["help"])
        for item in fields(TrainConfig)
        if item.name in _settable()
    ]


def _settable() -> set[str]:
    return set(_kinds()) - {"recipe", "trackers"}


def _describe_values(item: Field[Any]) -> str:
    kind = _kinds()[item.name]
    if kind.choices:
        return ", ".join(kind.choices)
    if kind.type is bool:
        return "true or false"
    return "a name" if kind.type is str else _describe_number(kind.type, item.metadata)


def _written(value: Any) -> str:
    if value is None or value is MISSING:
        return "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Parse choices as people write them, such as `label_smoothing=0.05`; `TrainConfig` checks the values.

    Raises:
        UserError: one is not written as NAME=VALUE, has an unknown name or a value of another type, or comes twice.
    """
    names = sorted(_settable())
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = (part.strip() for part in setting.partition("="))
        if not (name and equals and text):
            raise UserError(f"A choice is written as NAME=VALUE, such as label_smoothing=0.05. Received: {setting!r}")
        name = current_key(name)
        if name not in names:
            close = get_close_matches(name, names, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise UserError(f"There is no choice named {name!r}.{hint} The choices are: {', '.join(names)}.")
        if name in values:
            raise UserError(f"{name} is set twice.")
        values[name] = _parse_value(name, text, _kinds()[name].type)
    return values


def _parse_value(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise UserError(f"{name} is true or false. Received: {text!r}")
    if kind not in (int, float):
        return text
    try:
        return kind(text)
    except ValueError:
        raise UserError(f"{name} is a {'whole ' if kind is int else ''}number. Received: {text!r}") from None
