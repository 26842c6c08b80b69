"""The Keras layer and model that augment images while a network is trained."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from asl_edge.training.augmentation.mixup_cutmix import Mixing, mix_labels
from asl_edge.training.augmentation.pipeline import build_change, sample_changes
from asl_edge.training.augmentation.policy import Augmentation

if TYPE_CHECKING:
    import keras


def with_augmentation(network: keras.Model, augmentation: Augmentation | None) -> keras.Model:
    """Wrap `network` for training: the same weights, after random changes that happen in training only.

    The wrapper is never saved; `network` is. Where the augmentation mixes labels (mixup, cutmix), the wrapper's loss
    uses the mixed labels and its metrics the original ones.

    Args:
        network: takes uint8 (N, S, S, 3) images; labels are one-hot (N, C).
        augmentation: what to change; None returns `network` itself.
    """
    if augmentation is None:
        return network
    import keras

    last = LastMixing()
    side = network.input_shape[1]

    class Augmented(keras.Model):  # type: ignore[misc]
        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
        ) -> Any:
            mixing = last.take()
            if training and mixing is not None:
                y = mix_labels(y, mixing, side)
            return super().compute_loss(x, y, y_pred, sample_weight, training)

    images = keras.Input(network.input_shape[1:], dtype="uint8", name="image")
    return Augmented(images, network(build_layer(augmentation, last)(images)), name="augmented")


class LastMixing(threading.local):
    """How the images of the current step were mixed, for the loss of the same step.

    Thread-local, since `tf.distribute` traces the step for each device in a thread; taken once, since a tensor of one
    trace means nothing in another.
    """

    _mixing: Mixing | None = None

    def put(self, mixing: Mixing | None) -> None:
        """Keep it for `take`."""
        self._mixing = mixing

    def take(self) -> Mixing | None:
        """Return what was put last, and forget it."""
        mixing, self._mixing = self._mixing, None
        return mixing


def build_layer(augmentation: Augmentation, last: LastMixing | None = None, seed: int = 0) -> keras.layers.Layer:
    """Build the layer: uint8 (N, S, S, 3) to uint8 of the same shape; outside training images pass unchanged.

    Args:
        augmentation: how far the changes may go.
        last: receives how the images were mixed.
        seed: of its generator, whose state is the variable `seed_generator_state`.
    """
    import keras

    change = build_change(augmentation)

    class Augment(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            # float32 whatever the policy of the network: bfloat16 cannot count pixels up to 224 and their fractions.
            super().__init__(name="augment", dtype="float32", autocast=False)
            self.seed_generator = keras.random.SeedGenerator(seed)

        def call(self, images: Any, training: bool = False) -> Any:
            if last is not None:
                last.put(None)
            if not training:
                return images
            # Separate, so that the random values do not depend on how the changes are compiled.
            sampled = sample_changes(augmentation, keras.ops.shape(images)[0], images.shape[1], self.seed_generator)
            if last is not None:
                last.put(sampled.mixing)
            return change(images, sampled)

        def compute_output_spec(self, images: Any, training: bool = False) -> Any:
            return keras.KerasTensor(images.shape, dtype="uint8")

    return Augment()
