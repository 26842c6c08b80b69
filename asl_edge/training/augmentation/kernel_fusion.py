"""Kernel fusion: many small operations on images, compiled into few loops over the pixels, which share the cores."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, cast

from asl_edge.runtime.machine import available_cores
from asl_edge.training.compute.backend import has_gpu

Work = Callable[[Any, Any, Any, Any], Any]
"""Called with (images, originals, sampled, batch): images as the previous stage left them, uint8 or float32
(N, S, S, 3), 0 to 255; the uint8 images that the first stage got; what was sampled for them, in named tuples of
tensors; the whole batch that `images` are a part of. Returns float32 images."""

_MOST_PARTS = 4
_FEWEST_IMAGES = 4
"""With fewer images per part, sharing costs more than it saves."""


class Stage(NamedTuple):
    """One loop over the pixels."""

    work: Work
    takes_others: bool = False
    """Whether an image depends on others of the batch; if not, the stage gets only a part of it as `batch`."""


def fuse(stages: Sequence[Stage], shared: Collection[str] = ()) -> Callable[[Any, Any], Any]:
    """Return a function of (images, sampled) that runs one stage after the other: uint8 (N, S, S, 3) to the same.

    `shared` names the fields of what is sampled that belong to the whole batch; all others have a row per image.

    XLA fuses consecutive elementwise operations into one loop. TensorFlow without it takes several times as long on a
    CPU, and `fit` leaves it off there, since its convolutions are slow; so it is used here alone. Each stage is
    compiled by itself: fused into the next one, the warp would be computed again for every pixel that is read more
    than once. Between the stages images are uint8, a quarter of the memory. Such a loop runs on one core only, so
    parts of the batch are processed in parallel.

    With JAX the whole step is compiled, with PyTorch nothing is; there images stay float32 between the stages.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        parts = 1 if has_gpu() else min(available_cores(), _MOST_PARTS)
        return _run_in_parts(
            [stage._replace(work=_compiled_for_tensorflow(stage.work)) for stage in stages], parts, shared
        )
    if keras.backend.backend() == "jax":
        import jax

        compiled: Callable[[Any, Any], Any] = jax.jit(_run(stages))
        return compiled
    return _run(stages)


def to_uint8(images: Any) -> Any:
    """Round float32 images to uint8, clipped to 0 and 255."""
    from keras import ops

    # Adding a half rounds: the cast truncates.
    return ops.cast(ops.clip(images + 0.5, 0.0, 255.0), "uint8")


def rows_of(sampled: Any, first: Any, end: Any, shared: Collection[str] = ()) -> Any:
    """Return what was sampled for the images from `first` to `end` (not included) of a batch; see `fuse`."""
    if sampled is None:
        return None
    if not isinstance(sampled, tuple):
        return sampled[first:end]
    names = getattr(sampled, "_fields", range(len(sampled)))
    values = [
        value if name in shared else rows_of(value, first, end, shared)
        for name, value in zip(names, sampled, strict=True)
    ]
    return type(sampled)(*values) if hasattr(sampled, "_fields") else tuple(values)


def _run(stages: Sequence[Stage]) -> Callable[[Any, Any], Any]:
    import keras

    def run(images: Any, sampled: Any) -> Any:
        changed = images
        for stage in stages:
            changed = stage.work(changed, images, sampled, changed)
        return changed if keras.backend.standardize_dtype(changed.dtype) == "uint8" else to_uint8(changed)

    return run


def _run_in_parts(stages: Sequence[Stage], parts: int, shared: Collection[str]) -> Callable[[Any, Any], Any]:
    """Run compiled stages on parts of the batch, which TensorFlow computes in parallel."""
    import tensorflow

    at_once = _run(stages)

    def in_parts(images: Any, sampled: Any) -> Any:
        count = tensorflow.shape(images)[0]
        # Parts of the same size as far as possible, since every size is compiled separately.
        size = (count + parts - 1) // parts
        bounds = [(size * part, tensorflow.minimum(size * (part + 1), count)) for part in range(parts)]
        originals = [images[first:end] for first, end in bounds]
        own = [rows_of(sampled, first, end, shared) for first, end in bounds]
        changed = originals
        for stage in stages:
            batch = tensorflow.concat(changed, 0) if stage.takes_others else None
            changed = [
                stage.work(part, before, rows, part if batch is None else batch)
                for part, before, rows in zip(changed, originals, own, strict=True)
            ]
        return tensorflow.concat(changed, 0)

    def run(images: Any, sampled: Any) -> Any:
        if parts == 1 or not stages:
            return at_once(images, sampled)
        count = images.shape[0]
        if count is not None:
            return (in_parts if count >= parts * _FEWEST_IMAGES else at_once)(images, sampled)
        changed = tensorflow.cond(
            tensorflow.shape(images)[0] >= parts * _FEWEST_IMAGES,
            lambda: in_parts(images, sampled),
            lambda: at_once(images, sampled),
        )
        return tensorflow.ensure_shape(changed, images.shape)

    return run


@functools.cache  # a trial of a training, and the training itself, then trace and compile a stage once
def _compiled_for_tensorflow(work: Work) -> Work:
    import tensorflow

    def rounded(images: Any, originals: Any, sampled: Any, batch: Any) -> Any:
        return to_uint8(work(images, originals, sampled, batch))

    compiled = tensorflow.function(rounded, jit_compile=True, autograph=False)
    # TensorFlow identifies functions by their lines: it takes all stages for one that is traced too often, and warns.
    compiled._omit_frequent_tracing_warning = True
    return cast("Work", compiled)
