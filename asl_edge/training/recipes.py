"""Recipes: named sets of training choices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from asl_edge.errors import UserError
from asl_edge.files.earlier_names import current_value
from asl_edge.training.config import TrainConfig

DEFAULT = "default"
FINETUNE = "finetune"
SIGNER_INDEPENDENT = "signer-independent"

_RECIPES: dict[str, TrainConfig] = {
    # As in the tutorial, except for its validation labels, which it divides by 255.
    "tutorial": TrainConfig(recipe="tutorial"),
    # For a few thousand images and some 20 minutes on two cores. AlexNet's full dropout prevents it from learning so
    # few images in so few steps: on 29 classes of 105 images, after three epochs, training accuracy was 7% with it
    # and 25% without any.
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
    # For signers, rooms and cameras that no training image shows; see pretrained/log.md.
    SIGNER_INDEPENDENT: TrainConfig(
        recipe=SIGNER_INDEPENDENT,
        network="alexnet-edge-8",
        epochs=40,
        # An epoch is some 18,000 images however many there are: synthetic ones cost nothing, and real sources count by
        # the root of their size, so that 300 images of one signer are not drowned by 4,000 of another.
        steps_per_epoch=280,
        source_exponent=0.5,
        batch_size=64,
        optimizer="adamw",
        learning_rate=0.001,
        weight_decay=0.05,
        schedule="cosine",
        warmup_epochs=2.0,
        label_smoothing=0.1,
        augmentation=SIGNER_INDEPENDENT,
        # Left hands, and cameras that mirror: accuracy on mirrored photographs of unseen signers rose by 16 points.
        flip_probability=0.4,
        ema_momentum=0.998,
        # It learns until the last epoch, and needs half of the dropout that fewer images do.
        dropout_scale=0.5,
        norm_momentum=0.9,
        precision="auto",
    ),
    # For one person's hand, some 10 to 100 images per class: a rate that preserves what the network has learnt, and an
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
        augmentation=SIGNER_INDEPENDENT,
        ema_momentum=0.99,
        norm_momentum=0.9,
        precision="auto",
    ),
    # For synthetic hands, which differ from each other more than augmentation could make them: more images instead of
    # more epochs, and small batches for as many steps as a few minutes allow.
    "synthetic": TrainConfig(
        recipe="synthetic",
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
        name: the recipe's name; an earlier version's name for it works too.
        changes: fields of `TrainConfig` and their new values; None keeps the recipe's own.

    Raises:
        UserError: the name is unknown, or a value breaks its rule.
    """
    name = current_value("recipe", name)
    if name not in _RECIPES:
        raise UserError(f"Unknown recipe {name!r}. The recipes are: {', '.join(_RECIPES)}.")
    recipe = _RECIPES[name]
    chosen = {field: value for field, value in changes.items() if value is not None}
    if recipe.warmup_epochs >= chosen.get("epochs", recipe.epochs):
        chosen.setdefault("warmup_epochs", chosen["epochs"] / 10)  # a trial of one epoch still needs a warm-up
    return replace(recipe, **chosen)
