"""What this process decides for itself instead of inheriting it from the environment and from files in HOME."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType

_NOT_OURS = "TF_USE_LEGACY_KERAS"
"""Makes `tf.keras` another package than Keras 3, which may not be installed."""


@contextlib.contextmanager
def variables(**values: str | None) -> Iterator[None]:
    """Set environment variables within a block, or with None remove them; they are as before afterwards."""
    before = {name: os.environ.get(name) for name in values}
    try:
        _set(values)
        yield
    finally:
        _set(before)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextlib.contextmanager
def for_importing_keras() -> Iterator[None]:
    """Let Keras be imported within the block with its own defaults, whatever `~/.keras/keras.json` says.

    That file may choose another order of dimensions, another float type or a backend that no longer exists, and Keras
    writes it where it is missing. `KERAS_BACKEND` counts as always. Keras imports matplotlib if that is installed.

    Afterwards Keras keeps its downloads (`keras.utils.get_file`) where it would have kept them without this block.
    """
    folder = None
    with contextlib.suppress(OSError):
        folder = tempfile.mkdtemp(prefix="asl-edge-keras-")
    # Without a place for the folder, one that cannot exist: Keras then reads and writes nothing.
    home = folder or os.path.join(os.devnull, "keras")  # noqa: PTH118
    try:
        with variables(**{"KERAS_HOME": home, _NOT_OURS: None}), for_importing_matplotlib():
            yield
    finally:
        config = sys.modules.get("keras.src.backend.config")
        if getattr(config, "_KERAS_DIR", None) == home:  # imported within the block
            vars(config)["_KERAS_DIR"] = _keras_home()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _keras_home() -> str:
    """Return the folder that Keras chooses as it is imported: `KERAS_HOME`, or `.keras` in a home that it can write."""
    user = os.path.expanduser("~")  # noqa: PTH111 - Path.expanduser raises without a home
    base = user if os.access(user, os.W_OK) else tempfile.gettempdir()
    return os.environ.get("KERAS_HOME") or os.path.join(base, ".keras")  # noqa: PTH118


def use_our_keras_settings(keras: ModuleType) -> None:
    """Give Keras the order of dimensions and the float type that asl-edge needs, where a program has changed them."""
    if keras.config.image_data_format() != "channels_last":
        keras.config.set_image_data_format("channels_last")
    if keras.config.floatx() != "float32":
        keras.config.set_floatx("float32")


@contextlib.contextmanager
def for_importing_matplotlib() -> Iterator[None]:
    """Let matplotlib be imported within the block, also where `MPLBACKEND` names a backend that is missing here.

    Notebooks set it to their own, which need not be installed next to asl-edge. Plots here are drawn without it; for
    everybody else in this process, the backend that was named stays chosen if there is one of that name.
    """
    wanted = os.environ.get("MPLBACKEND")
    if "matplotlib" in sys.modules or not wanted:
        yield
        return
    with variables(MPLBACKEND="agg"):
        yield
    matplotlib = sys.modules.get("matplotlib")
    if matplotlib is not None:
        with contextlib.suppress(ValueError, ImportError):
            matplotlib.rcParams["backend"] = wanted
