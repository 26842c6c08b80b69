"""The weights of an exported network, assigned to the layers of the Keras network that it was made from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from asl_edge.errors import ModelError
from asl_edge.training.pretrained.onnx_weights import Affine, Stage, read_branches, read_stages

if TYPE_CHECKING:
    import keras

    from asl_edge.training.pretrained.source import Pretrained

Weights = dict[str, list[npt.NDArray[Any]]]
"""Values of `layer.weights` by the name of the layer."""


def from_onnx(network: keras.Model, source: Pretrained) -> Weights:
    """Return the weights that an exported file holds for each layer of `network`.

    Batch normalisation gets the file's factor and offset as gamma and beta, and neutral statistics.

    Raises:
        ModelError: the file is damaged, or holds another network.
        MissingPackageError: the package onnx is not installed.
    """
    places = _places(network)
    branches = any(isinstance(layer.input, list) for layer in network.layers)
    weights: Weights = {}
    if branches:
        stages = read_branches(source.path, [place.name for place in places if place.layer is None])
        stages = _by_name(places, stages, weights, source)
        places = [place for place in places if place.name not in weights]
    else:
        stages = read_stages(source.path)
        ours, theirs = [place.name for place in places[1:]], [stage.name for stage in stages[1:]]
        if len(ours) != len(theirs) or (set(ours) == set(theirs) and ours != theirs):
            raise _other_network(source, ours, theirs)
    stages[1] = _for_our_pixels(network, stages[0].direct, stages[1], places[1].layer, source)
    for place, stage in zip(places, stages, strict=True):
        name = stage.name if place.layer is None else place.layer.name
        direct = stage.direct
        if place.direct is not None:
            weights[place.direct.name] = _as_norm(direct, place.direct, source)
            direct = Affine()
        if place.layer is not None:
            weights[place.layer.name] = _as_layer(stage, direct, place.layer, source)
        # Where they were folded into the weights that follow, neutral statistics stand for them.
        later = stage.later or [Affine()] * len(place.later)
        if len(place.later) != len(later):
            raise ModelError(
                f"{source.where} is not the {source.network} of this version of asl-edge: after {name} it has "
                f"{len(stage.later)} places with a scale or an offset; there must be {len(place.later)}."
            )
        for norm, affine in zip(place.later, later, strict=True):
            weights[norm.name] = _as_norm(affine, norm, source)
    return weights


def _other_network(source: Pretrained, ours: list[str], theirs: list[str]) -> ModelError:
    return ModelError(
        f"{source.where} is not the {source.network} of this version of asl-edge: its layers are "
        f"{', '.join(theirs) or 'none'}; they must be {', '.join(ours)}."
    )


def _by_name(places: list[_Place], stages: list[Stage], weights: Weights, source: Pretrained) -> list[Stage]:
    """Return the stages in the order of the places, matched by name; those named otherwise are in the same order.

    (Small kernels may be named after the normalisation that was folded into them.) A frozen layer that the file does
    not have, one that was never taught, goes to `weights` as it is.
    """
    found = {stage.name: stage for stage in stages[1:]}
    for place in places[1:]:
        if place.layer is not None and not place.layer.trainable and place.name not in found:
            weights[place.name] = [np.asarray(value) for value in place.layer.get_weights()]
    wanted = [place.name for place in places[1:] if place.name not in weights]
    renamed = [name for name in wanted if name not in found], [name for name in found if name not in wanted]
    if len(found) != len(wanted):
        raise _other_network(source, wanted, list(found))
    found.update({ours: found.pop(theirs) for ours, theirs in zip(*renamed, strict=True)})
    return [stages[0], *(found[name] for name in wanted)]


class _Place(NamedTuple):
    """The part of a network that is one `Stage` of an exported file."""

    layer: keras.layers.Layer | None
    """Has a kernel; None for what is done to the image before the first layer, and where branches join."""
    direct: keras.layers.Layer | None
    """Batch normalisation of its result."""
    later: list[keras.layers.Layer]
    """Batch normalisation after an activation or a pooling."""

    @property
    def name(self) -> str:
        """Name of the layer, or of the batch normalisation where branches join."""
        named = self.layer or self.direct
        return "" if named is None else str(named.name)


def _places(network: keras.Model) -> list[_Place]:
    import keras

    places = [_Place(None, None, [])]
    separated = False
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            places.append(_Place(layer, None, []))
            separated = layer.activation is not keras.activations.linear
        elif isinstance(layer, keras.layers.BatchNormalization) and layer.scale and layer.center and len(places) > 1:
            if _joins(layer.input):
                places.append(_Place(None, layer, []))
            elif separated or places[-1].direct is not None:
                places[-1].later.append(layer)
            else:
                places[-1] = places[-1]._replace(direct=layer)
        elif layer.weights:
            raise ModelError(
                f"{network.name} has a layer {layer.name} ({type(layer).__name__}), which cannot be read from an "
                ".onnx file. Start from a run folder or a .keras file."
            )
        elif not isinstance(layer, keras.layers.Dropout | keras.layers.Rescaling | keras.layers.InputLayer):
            separated = True
    return places


def _joins(tensor: Any) -> bool:
    """Whether a tensor of Keras is made of several others."""
    return isinstance(tensor._keras_history.operation.input, list)


def _as_norm(affine: Affine, norm: keras.layers.Layer, source: Pretrained) -> list[npt.NDArray[Any]]:
    """Return gamma, beta, mean and variance of a batch normalisation that computes `affine`."""
    channels = int(norm.gamma.shape[0])
    if not {affine.scale.size, affine.shift.size} <= {1, channels}:
        raise ModelError(
            f"{norm.name} of {source.network} has {channels} channels here and "
            f"{max(affine.scale.size, affine.shift.size)} in {source.where}."
        )
    vector = np.ones(channels, np.float32)
    return [affine.scale * vector, affine.shift * vector, 0 * vector, np.float32(1 - norm.epsilon) * vector]


def _as_layer(stage: Stage, direct: Affine, layer: keras.layers.Layer, source: Pretrained) -> list[npt.NDArray[Any]]:
    """Return kernel and bias of a layer to whose result `direct` is applied."""
    assert stage.kernel is not None
    filters = stage.kernel.shape[-1]
    if not {direct.scale.size, direct.shift.size} <= {1, filters}:
        raise ModelError(f"{source.where} is damaged: {stage.name} does not fit what follows it. Export it again.")
    weights: list[npt.NDArray[Any]] = [stage.kernel * direct.scale]
    if layer.use_bias:
        weights.append(direct.shift * np.ones(filters, np.float32))
    elif direct.shift.any():
        raise ModelError(f"{stage.name} of {source.where} has a bias, and {layer.name} of {source.network} has none.")
    return weights


def _for_our_pixels(
    network: keras.Model, rescaling: Affine, stage: Stage, layer: keras.layers.Layer | None, source: Pretrained
) -> Stage:
    """Return the first layer for images as this network rescales them; the file may have that in its weights.

    With y = a x + b here and c x + d in the file, W (c x + d) is (W c / a) y + W (d - b c / a).
    """
    import keras

    assert stage.kernel is not None
    wanted = Affine()
    for item in network.layers:
        if isinstance(item, keras.layers.Rescaling):
            wanted = wanted.then("Mul", np.float32(item.scale).reshape(-1))
            wanted = wanted.then("Add", np.float32(item.offset).reshape(-1))
    factor = np.asarray(rescaling.scale / wanted.scale, np.float64)
    offset = np.asarray(rescaling.shift, np.float64) - wanted.shift * factor
    pixels = np.array([[0.0], [255.0]])  # a line is determined by two of its points
    here, there = (pixels * each.scale + each.shift for each in (wanted, rescaling))
    if np.allclose(here, there, atol=1e-3):
        return stage
    # What is added to an image is not added to the zeros that a convolution pads it with.
    if np.abs(offset).max() > 1e-3 and getattr(layer, "padding", "valid") != "valid":
        raise ModelError(
            f"{source.where} rescales pixels to {there.min():.4g} ... {there.max():.4g}, and {source.network} of this "
            f"version of asl-edge to {here.min():.4g} ... {here.max():.4g}. Start from another model."
        )
    inputs = stage.kernel.shape[-2]
    axes = tuple(range(stage.kernel.ndim - 1))
    added = (stage.kernel * np.broadcast_to(offset, (inputs,))[:, None]).sum(axis=axes)
    kernel = stage.kernel * np.broadcast_to(factor, (inputs,))[:, None]
    shift = stage.direct.shift + stage.direct.scale * added
    return replace(
        stage,
        kernel=kernel.astype(np.float32),
        direct=Affine(stage.direct.scale, np.asarray(shift, np.float32)),
    )
