"""The wrapper augments in training only, trains compiled, and its loss sees the labels as the images were mixed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import keras
import numpy as np
import pytest

from asl_edge.training import networks
from asl_edge.training.augmentation import Augmentation, get, kernel_fusion, with_augmentation
from asl_edge.training.augmentation.layer import LastMixing, build_layer
from asl_edge.training.augmentation.mixup_cutmix import mix_images, mix_labels
from asl_edge.training.augmentation.pipeline import sample_changes
from asl_edge.training.loop.resume_state import reseed

MIXED = {"mixup_probability": 0.5, "cutmix_probability": 0.5}
LIGHT_AND_MIXED = replace(get("light") or Augmentation(), **MIXED)
EVERYTHING = replace(get("signer-independent") or Augmentation(), **MIXED)


@pytest.fixture
def network() -> keras.Model:
    """uint8 (N, 32, 32, 3) to 3 classes, without anything random or running of its own."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((32, 32, 3), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 5, strides=4),
            layers.Flatten(),
            layers.Dense(3, activation="softmax", dtype="float32"),
        ]
    )


@contextlib.contextmanager
def no_leaked_tracers() -> Iterator[None]:
    """JAX raises if a tracer outlives its trace; the other backends have none."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    with jax.checking_leaks():
        yield


def answers(model, images, training):
    return keras.ops.convert_to_numpy(model(images, training=training))


def test_none_needs_no_wrapper(network):
    assert with_augmentation(network, get("none")) is network


def test_nothing_happens_outside_training(network, noisy_images):
    model = with_augmentation(network, EVERYTHING)
    alone = answers(network, noisy_images, False)
    assert np.array_equal(answers(model, noisy_images, False), alone)
    assert not np.allclose(answers(model, noisy_images, True), alone, atol=1e-4)
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    labels = np.eye(3, dtype=np.float32)[np.arange(7) % 3]
    network.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    wrapped = model.evaluate(noisy_images, labels, batch_size=4, verbose=0)
    assert wrapped == pytest.approx(network.evaluate(noisy_images, labels, batch_size=4, verbose=0), abs=1e-5)


def test_the_network_gets_uint8_and_shares_its_weights(network):
    seen = []

    class Look(keras.layers.Layer):  # type: ignore[misc]
        def call(self, images):
            seen.append(keras.backend.standardize_dtype(images.dtype))
            return images

    looking = keras.Sequential([keras.Input((32, 32, 3), dtype="uint8"), Look(dtype="uint8"), *network.layers])
    model = with_augmentation(looking, EVERYTHING)
    model(np.zeros((7, 32, 32, 3), np.uint8), training=True)
    assert set(seen) == {"uint8"}
    assert [weight.path for weight in model.weights] == [weight.path for weight in network.weights]
    assert all(mine is theirs for mine, theirs in zip(model.weights, network.weights, strict=True))
    assert not any("augment" in layer.name for layer in network.layers)


@pytest.mark.usefixtures("tiny_network")
def test_reseeding_reaches_the_generator_and_repeats_the_step(network, noisy_images):
    model = with_augmentation(network, EVERYTHING)
    states = [variable for variable in model.variables if variable.name == "seed_generator_state"]
    assert len(states) == 1
    reseed(model, 5, 2)
    first, second = answers(model, noisy_images, True), answers(model, noisy_images, True)
    assert not np.array_equal(first, second)
    reseed(model, 5, 2)
    assert np.array_equal(answers(model, noisy_images, True), first)
    reseed(model, 5, 3)
    assert not np.array_equal(answers(model, noisy_images, True), first)


@pytest.mark.parametrize("mixup", [1.0, 0.0, 0.5])
def test_the_loss_sees_mixed_labels_and_the_metrics_the_labels(network, noisy_images, tensors, to_numpy, mixup):
    augmentation = Augmentation(mixup_probability=mixup, cutmix_probability=1 - mixup)
    labels = np.eye(3, dtype=np.float32)[np.arange(7) % 3]
    mixing = sample_changes(augmentation, 7, 32, keras.random.SeedGenerator(0)).mixing
    images = np.rint(to_numpy(mix_images(tensors(noisy_images), mixing)) + 1e-4).astype(np.uint8)
    mixed = to_numpy(mix_labels(tensors(labels), mixing, 32))
    assert ((mixed > 0).sum(axis=1) == 2).sum() >= 3
    probabilities = answers(network, images, False)
    loss = -np.mean(np.sum(mixed * np.log(probabilities), axis=1))
    accuracy = np.mean(probabilities.argmax(axis=1) == labels.argmax(axis=1))
    unmixed = -np.mean(np.sum(labels * np.log(probabilities), axis=1))
    assert abs(unmixed - loss) > 1e-2

    model = with_augmentation(network, augmentation)
    model.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy", metrics=["accuracy"])
    with no_leaked_tracers():
        seen = model.train_on_batch(noisy_images, labels, return_dict=True)
    assert float(seen["loss"]) == pytest.approx(loss, rel=2e-3)
    assert float(seen["accuracy"]) == pytest.approx(accuracy, abs=1e-6)


@pytest.mark.parametrize(
    "augmentation", [LIGHT_AND_MIXED, get("signer-independent")], ids=["light and mixed", "signer-independent"]
)
def test_it_trains_compiled_with_a_last_batch_that_is_smaller(network, augmentation):
    """Red, green and blue: learned in spite of everything, to be told apart without it."""
    rng = np.random.default_rng(0)
    labels = np.arange(51) % 3
    images = rng.integers(0, 120, (51, 32, 32, 3), dtype=np.uint8)
    images[np.arange(51), :, :, labels] += 100
    one_hot = np.eye(3, dtype=np.float32)[labels]
    model = with_augmentation(network, augmentation)
    model.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy", metrics=["accuracy"])
    with no_leaked_tracers():
        history = model.fit(
            images, one_hot, batch_size=10, epochs=8, verbose=0, validation_data=(images, one_hot)
        ).history
    assert np.isfinite(history["loss"]).all()
    assert history["val_accuracy"][-1] > 0.9


def test_how_images_were_mixed_is_told_once_and_to_its_own_thread_only():
    last, mixing = LastMixing(), object()
    last.put(mixing)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(last.take).result() is None
    assert last.take() is mixing
    assert last.take() is None


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX always does, PyTorch never")
def test_it_trains_inside_a_step_that_xla_compiles_whole(network, noisy_images):
    """As on a GPU: the stages, which are compiled by themselves elsewhere, become part of the step."""
    model = with_augmentation(network, EVERYTHING)
    model.compile(keras.optimizers.SGD(0.01), "categorical_crossentropy", jit_compile=True)
    labels = np.eye(3, dtype=np.float32)[np.arange(7) % 3]
    losses = [float(model.train_on_batch(noisy_images, labels)) for _ in range(3)]
    assert np.isfinite(losses).all()
    assert len(set(losses)) == 3


def test_the_same_seed_trains_to_the_same_weights(network, noisy_images):
    labels = np.eye(3, dtype=np.float32)[np.arange(7) % 3]
    begin, ends = network.get_weights(), []
    for _ in range(2):
        network.set_weights(begin)
        model = with_augmentation(network, Augmentation(rotation_degrees=20, noise=0.1, noise_probability=1))
        model.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy")
        reseed(model, 1, 0)
        model.fit(noisy_images, labels, batch_size=3, epochs=2, shuffle=False, verbose=0)
        ends.append(network.get_weights())
    assert all(np.array_equal(one, other) for one, other in zip(*ends, strict=True))


def test_mixed_precision_leaves_the_images_exact(noisy_images):
    """bfloat16 could not count the pixels of a row."""
    from asl_edge.training.compute.backend import dtype_policy

    plain = keras.ops.convert_to_numpy(build_layer(EVERYTHING)(noisy_images, training=True))
    kernel_fusion._compiled_for_tensorflow.cache_clear()  # or what the other policy compiled would run again
    with dtype_policy("mixed_bfloat16"):
        layer = build_layer(EVERYTHING)
        mixed = keras.ops.convert_to_numpy(layer(noisy_images, training=True))
    assert np.array_equal(plain, mixed)


def test_the_network_is_saved_without_the_wrapper(network, noisy_images, tmp_path):
    model = with_augmentation(network, EVERYTHING)
    model(noisy_images, training=True)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert np.array_equal(answers(loaded, noisy_images, True), answers(network, noisy_images, True))


def test_networks_of_the_registry_can_be_wrapped(tiny_network, noisy_images):
    model = with_augmentation(networks.build(tiny_network, 3, 32), EVERYTHING)
    assert answers(model, noisy_images, True).shape == (7, 3)
