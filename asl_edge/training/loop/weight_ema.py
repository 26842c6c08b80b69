"""The exponential moving average of the weights that Keras's optimizers keep, and using it in place of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asl_edge.training.runs.train_state import restore, values_of

if TYPE_CHECKING:
    import keras


def averages(model: keras.Model) -> list[tuple[keras.Variable, keras.Variable]]:
    """Return each trainable variable with its average; none where the optimizer keeps no averages."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # loss scaling wraps the optimizer
    if not optimizer.use_ema:
        return []
    return list(zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True))


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Give `model` its averaged weights in the block; afterwards it has its own again, bit for bit.

    Keras's own callback for this, SwapEMAWeights, swaps by adding and subtracting, which rounds.
    """
    pairs = averages(model)
    own = values_of(variable for variable, _ in pairs)
    restore([variable for variable, _ in pairs], values_of(average for _, average in pairs))
    try:
        yield
    finally:
        restore([variable for variable, _ in pairs], own)
