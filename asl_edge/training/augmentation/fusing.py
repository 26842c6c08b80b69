"""Many small operations on pictures, compiled into few loops over the pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Stage = Callable[[Any, Any, Any], Any]
"""Called with (pictures, originals, drawn): pictures as the stage before left them, uint8 or float32 (N, S, S, 3), 0 to
255; the uint8 pictures that the first stage got; what was drawn, in tuples of tensors. Returns float32 pictures."""


def fuse(stages: Sequence[Stage]) -> Callable[[Any, Any], Any]:
    """Return a function of (pictures, drawn) that runs one stage after the other: uint8 (N, S, S, 3) to the same.

    XLA makes one loop of elementwise operations that follow each other. TensorFlow without it takes several times as
    long on a CPU, and `fit` leaves it off there, since its convolutions are slow; so it is asked for here alone. Each
    stage is compiled by itself: fused into the next, the warp would be done again for every pixel that is read more
    than once. Between the stages pictures are uint8, a quarter of the memory.

    In JAX the whole step is compiled, and in PyTorch nothing is; there pictures stay float32 between the stages.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        return _run([_compiled_for_tensorflow(stage) for stage in stages])
    if keras.backend.backend() == "jax":
        import jax

        compiled: Callable[[Any, Any], Any] = jax.jit(_run(stages))
        return compiled
    return _run(stages)


def to_uint8(pictures: Any) -> Any:
    """Round float32 pictures; what is darker than 0 or brighter than 255 becomes that."""
    from keras import ops

    # The half rounds: the cast cuts off what is behind the point.
    return ops.cast(ops.clip(pictures + 0.5, 0.0, 255.0), "uint8")


def _run(stages: Sequence[Stage]) -> Callable[[Any, Any], Any]:
    import keras

    def run(pictures: Any, drawn: Any) -> Any:
        changed = pictures
        for stage in stages:
            changed = stage(changed, pictures, drawn)
        return changed if keras.backend.standardize_dtype(changed.dtype) == "uint8" else to_uint8(changed)

    return run


def _compiled_for_tensorflow(stage: Stage) -> Stage:
    import tensorflow

    def rounded(pictures: Any, originals: Any, drawn: Any) -> Any:
        return to_uint8(stage(pictures, originals, drawn))

    compiled: Stage = tensorflow.function(rounded, jit_compile=True, autograph=False)
    return compiled
