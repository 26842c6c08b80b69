"""Recipes: named sets of training choices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from asl_edge.errors import UserError
from asl_edge.training.config import TrainConfig

DEFAULT = "default"
FINETUNE = "finetune"

_RECIPES: dict[str, TrainConfig] = {
    # As in the tutorial, but for its validation labels, which it divides by 255.
    "tutorial": TrainConfig(recipe="tutorial"),
    # For a few thousand images and some 20 minutes on two cores. AlexNet's full dropout keeps so few images from
    # being learnt in so few steps: on 29 classes of 105 images, after three epochs, 7% of the training images were
    # read rightly with it and 25% without any.
    "default": TrainConfig(
        recipe="default",
        epochs=30,
        batch_size=32,
        optimizer="adamw",
        learning_rate=0.0005,
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=1.0,
        label_smoothing=0.1,
        augmentation="strong",
        norm_momentum=0.9,
        dropout_scale=0.3,
        precision="auto",
    ),
    # For people, rooms and cameras that no training image shows; see pretrained/log.md.
    "strangers": TrainConfig(
        recipe="strangers",
        network="alexnet-edge-8",
        epochs=40,
        # An epoch is some 18,000 images however many there are: drawn ones cost nothing, and real sources count by
        # the root of their size, so that the hand of one signer in 300 images is not drowned by 4,000 of another.
        steps_per_epoch=280,
        source_exponent=0.5,
        batch_size=64,
        optimizer="adamw",
        learning_rate=0.001,
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=2.0,
        label_smoothing=0.1,
        augmentation="strangers",
        # Left hands, and cameras that mirror: 16 points more of strangers' photographs mirrored.
        flip_probability=0.4,
        ema_momentum=0.998,
        # It learns to the last epoch; half of the dropout that networks of fewer images need.
        dropout_scale=0.5,
        norm_momentum=0.9,
        precision="auto",
    ),
    # For a person's own hand, some 10 to 100 images a class: a rate that leaves a trained network standing, and an
    # average over the last hundred steps, since there are few of them.
    FINETUNE: TrainConfig(
        recipe=FINETUNE,
        network="alexnet-edge-8",
        epochs=15,
        batch_size=32,
        optimizer="adamw",
        learning_rate=0.0003,
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=1.0,
        label_smoothing=0.1,
        augmentation="strangers",
        ema_momentum=0.99,
        norm_momentum=0.9,
        precision="auto",
    ),
    # For drawn hands, which differ from each other more than augmentation could make them: new ones instead of more
    # epochs, and small batches for as many steps as a few minutes allow.
    "drawn": TrainConfig(
        recipe="drawn",
        epochs=3,
        batch_size=16,
        optimizer="sgd",
        learning_rate=0.01,
        momentum=0.9,
        schedule="cosine",
        warmup_epochs=0.3,
        label_smoothing=0.1,
        augmentation="none",
        norm_momentum=0.9,
        dropout_scale=0.0,
        precision="auto",
    ),
}


def names() -> list[str]:
    """Return the names of all recipes."""
    return list(_RECIPES)


def get(name: str = DEFAULT, **changes: Any) -> TrainConfig:
    """Return a recipe with some of its choices changed.

    Args:
        name: the recipe's name.
        changes: fields of `TrainConfig` and their new values; None leaves the recipe's own.

    Raises:
        UserError: there is no such recipe, or a value breaks its rule.
    """
    if name not in _RECIPES:
        raise UserError(f"Unknown recipe {name!r}. The recipes are: {', '.join(_RECIPES)}.")
    recipe = _RECIPES[name]
    wanted = {field: value for field, value in changes.items() if value is not None}
    if recipe.warmup_epochs >= wanted.get("epochs", recipe.epochs):
        wanted.setdefault("warmup_epochs", wanted["epochs"] / 10)  # a trial of one epoch still needs a warm-up
    return replace(recipe, **wanted)
