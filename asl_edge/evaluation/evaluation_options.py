"""What is measured and how: the choices that the evaluation of one source and of several share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from asl_edge.errors import UserError
from asl_edge.runtime.model_options import ModelOptions
from asl_edge.spec import Fit

if TYPE_CHECKING:
    from asl_edge.runtime.model_options import ModelChanges

    class EvaluationChanges(ModelChanges, total=False):
        """Fields of `EvaluationOptions` and `ModelOptions` as keyword arguments: `evaluate(m, d, split="train")`."""

        split: str
        classes: Sequence[str] | None
        fit: Fit | None
        bgr: bool
        threshold: float | None
        mirrored: bool
        batch_size: int


DEFAULT_BATCH_SIZE = 64


@dataclass(frozen=True)
class EvaluationOptions:
    """What is measured and how.

    Raises:
        UserError: on construction, when a number is out of range.
    """

    split: str = "test"
    """Which split of prepared arrays: train, validation or test."""
    classes: Sequence[str] | None = None
    """Names of the outputs of a `.keras` file outside a run folder; also those of arrays without a manifest."""
    fit: Fit | None = None
    """How images become square, for a `.keras` file outside a run folder; None for `crop`."""
    bgr: bool = False
    """Arrays without a manifest hold BGR."""
    threshold: float | None = None
    """Reject threshold: below this confidence an image is not accepted. None for the model's own, 0 accepts all."""
    mirrored: bool = False
    """Also classify each image mirrored left to right, which takes twice the time."""
    batch_size: int = DEFAULT_BATCH_SIZE
    """Images read at once."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UserError(f"threshold must be between 0 and 1. Received: {self.threshold}")
        if self.batch_size < 1:
            raise UserError(f"batch_size must be 1 or more. Received: {self.batch_size}")


def combined(
    options: EvaluationOptions | None, model_options: ModelOptions | None, changes: EvaluationChanges
) -> tuple[EvaluationOptions, ModelOptions]:
    """Return both with the fields that `changes` names replaced; without options, the defaults on the CPU.

    Raises:
        TypeError: `changes` names a field that neither has.
        UserError: a number is out of range.
    """
    own = {field.name for field in fields(EvaluationOptions)}
    ours = {name: value for name, value in changes.items() if name in own}
    models = {name: value for name, value in changes.items() if name not in own}
    return (
        replace(options or EvaluationOptions(), **ours),  # type: ignore[arg-type]
        replace(model_options or ModelOptions(provider="cpu"), **models),  # type: ignore[arg-type]
    )
