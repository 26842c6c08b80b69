"""What Keras trains, compiled as a setup says: the network behind its augmentation, and the batches it is fed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.errors import DataError
from asl_edge.training import augmentation, networks
from asl_edge.training.compute.backend import dtype_policy
from asl_edge.training.compute.devices import Distribution, single_device
from asl_edge.training.compute.fast_convolution import make_fast
from asl_edge.training.config import TrainConfig
from asl_edge.training.input.batches import BatchLoader
from asl_edge.training.input.on_device import images_on_device, with_images
from asl_edge.training.loop.optimizer import build_optimizer
from asl_edge.training.loop.setup import Setup

if TYPE_CHECKING:
    import keras

    from asl_edge.data.arrays import PreparedArrays


class TrainingModel(NamedTuple):
    """What is trained, and what it is fed."""

    model: keras.Model
    """What Keras trains: the network behind its augmentation, compiled."""
    network: keras.Model
    """The network within it."""
    batches: BatchLoader


def build_training_model(setup: Setup) -> TrainingModel:
    """Build and compile what a setup trains.

    Raises:
        DataError: a batch is larger than the training split.
    """
    import keras

    config, arrays, plan, devices = setup.config, setup.arrays, setup.plan, setup.devices
    with dtype_policy(plan.policy):
        network = networks.build(config.network, len(arrays.classes), arrays.input_size)
        _set_for_training(network, config, devices)
        if plan.fast_convolution:
            make_fast(network, config.batch_size // devices.devices)
        model = augmentation.with_augmentation(network, chosen_augmentation(config))
    batches = BatchLoader(
        arrays,
        config.batch_size,
        seed=config.seed,
        steps=config.steps_per_epoch,
        drop_last=config.drop_last,
        class_weights=class_weights(arrays) if config.balance_classes else None,
        share=devices.share,
        source_exponent=config.source_exponent,
        as_rows=images_on_device(config, arrays, devices.devices),
    )
    if batches.as_rows:
        model = with_images(model, arrays)
    if not batches.steps:
        raise DataError(
            f"A batch of {config.batch_size} is larger than the training split of {len(batches.split)} images. "
            "Lower --batch-size."
        )
    model.compile(
        optimizer=build_optimizer(config, batches.steps, network),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing),
        metrics=["accuracy"],
        jit_compile=plan.xla,
    )
    # Without this its variables are made inside the first step, which TensorFlow then compiles twice.
    model.optimizer.build(model.trainable_variables)
    # Keras makes the metrics' variables with the first batch; a run that resumes within an epoch has values for them.
    nothing = keras.ops.zeros((1, len(arrays.classes)))
    model.compute_metrics(None, nothing, nothing)
    model.reset_metrics()
    return TrainingModel(model, network, batches)


def build_stored_network(setup: Setup) -> keras.Model:
    """Build the network as it is stored and scored: in float32, on one device, with the backend's own convolutions."""
    with dtype_policy("float32"), single_device():
        return networks.build(setup.config.network, len(setup.arrays.classes), setup.arrays.input_size)


def _set_for_training(network: keras.Model, config: TrainConfig, devices: Distribution) -> None:
    """Set what has an effect in training only; the twin that is stored keeps the network's own settings."""
    import keras

    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            # Without this each device of a strategy would normalise its own share of the batch.
            layer.synchronized = devices.strategy is not None
            if config.norm_momentum is not None:
                layer.momentum = config.norm_momentum
        elif isinstance(layer, keras.layers.Dropout):
            layer.rate *= config.dropout_scale


def chosen_augmentation(config: TrainConfig) -> augmentation.Augmentation | None:
    """Return the augmentation of `config` with the config's own changes to it; None where training changes no image.

    Raises:
        DataError: the name is unknown, or the changes break the augmentation's rules.
    """
    names = ("flip_probability", "mixup_probability", "cutmix_probability")
    changes = {name: value for name in names if (value := getattr(config, name)) is not None}
    named = augmentation.get(config.augmentation)
    if not any(changes.values()):
        return named
    return replace(named or augmentation.Augmentation(), **changes)


def class_weights(arrays: PreparedArrays) -> npt.NDArray[np.float32]:
    """Return a weight per class, (C,), so that all classes count alike and the mean weight of an image is 1.

    The weight is N / (C * n) for a class of n of the N training images, over the C classes that have any image
    (scikit-learn's "balanced", after King and Zeng 2001).
    """
    counts = np.bincount(arrays.split("train").labels, minlength=len(arrays.classes))
    there = counts > 0
    return np.where(there, counts.sum() / (there.sum() * np.maximum(counts, 1)), 0.0).astype(np.float32)
