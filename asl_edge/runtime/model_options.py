"""How a model is opened and run: the choices that every command and function that runs a model shares."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import TypedDict

    class ModelChanges(TypedDict, total=False):
        """The fields of `ModelOptions` as keyword arguments: `Predictor(model, provider="cpu")`."""

        provider: str
        strict: bool
        precision: str | None
        threads: int | None
        workers: int
        provider_options: Mapping[str, str] | None
        zoom: bool
        wait_actively: bool
        hand_model: str | os.PathLike[str] | None


@dataclass(frozen=True)
class ModelOptions:
    """How a model is opened and run."""

    provider: str = "auto"
    """Our name of an ONNX Runtime execution provider, or `auto` for the best that works on this machine."""
    strict: bool = False
    """Raise ProviderError where a ProviderWarning would say that another provider is used."""
    precision: str | None = None
    """Which of a bundle's precisions to take; None for the one that suits the provider."""
    threads: int | None = None
    """Threads within one operator; None for one per core that the process may use."""
    workers: int = 1
    """Batches that are read and classified side by side, each on its share of the cores (CPU only)."""
    provider_options: Mapping[str, str] | None = None
    """Handed to the provider that is named, as ONNX Runtime documents them."""
    zoom: bool = True
    """Run the zoom pass on images of small hands, where the model offers one (see `asl_edge.runtime.zoom`)."""
    wait_actively: bool = True
    """Whether threads spin while they wait for work (CPU only): faster while image follows image, but between the
    frames of a camera it costs the processor more than the work itself."""
    hand_model: str | os.PathLike[str] | None = None
    """The folder that `asl-edge data hand-model` made, or `default` for where it puts it; None for the model alone.
    Where the hand model finds a hand, the letters of its points are mixed with the model's own (see
    `asl_edge.runtime.hand_model`)."""


def changed(options: ModelOptions | None, changes: ModelChanges) -> ModelOptions:
    """Return `options`, or the defaults for None, with some fields replaced.

    Raises:
        TypeError: `changes` names a field that there is not.
    """
    return replace(options or ModelOptions(), **changes)
