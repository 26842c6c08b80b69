"""The Keras optimizer and learning rate schedule that a config describes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asl_edge.training.config import TrainConfig

if TYPE_CHECKING:
    import keras

_FLOOR = 0.01
"""Share of the peak rate at which the warm-up starts and the cosine ends."""


def build_optimizer(config: TrainConfig, steps_per_epoch: int, network: keras.Model) -> keras.optimizers.Optimizer:
    """Build the optimizer of `config` for an epoch of `steps_per_epoch` batches.

    Weight decay is decoupled (Loshchilov and Hutter 2019, arXiv:1711.05101) and excludes vectors: biases, and the
    scales and offsets of batch normalisation.
    """
    import keras

    rate = _learning_rate(config, steps_per_epoch)
    decay = config.weight_decay or None
    common: dict[str, Any] = {
        "weight_decay": decay,
        "global_clipnorm": config.clip_norm,
        "gradient_accumulation_steps": config.accumulate if config.accumulate > 1 else None,
        "use_ema": config.ema_momentum > 0,
        "ema_momentum": config.ema_momentum or 0.99,
    }
    optimizer: keras.optimizers.Optimizer
    if config.optimizer == "adamw":
        optimizer = keras.optimizers.AdamW(rate, **{**common, "weight_decay": config.weight_decay})
    else:
        optimizer = keras.optimizers.SGD(rate, momentum=config.momentum, nesterov=config.momentum > 0, **common)
    if decay is not None:
        optimizer.exclude_from_weight_decay([v for v in network.trainable_variables if len(v.shape) < 2])
    return optimizer


def _learning_rate(
    config: TrainConfig, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    if config.schedule == "constant":
        return config.learning_rate
    import keras

    steps = steps_per_epoch * config.epochs
    warmup = min(round(steps_per_epoch * config.warmup_epochs), steps - 1)
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(config.learning_rate, steps, alpha=_FLOOR)
    return keras.optimizers.schedules.CosineDecay(
        _FLOOR * config.learning_rate,
        steps - warmup,
        alpha=_FLOOR,
        warmup_target=config.learning_rate,
        warmup_steps=warmup,
    )
