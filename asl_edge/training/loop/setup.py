"""Setup: everything that is decided before the first step of a training, passed from one stage of it to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from asl_edge.training.compute.compute_plan import ComputePlan
from asl_edge.training.compute.devices import ONE_DEVICE, Distribution
from asl_edge.training.config import TrainConfig
from asl_edge.training.loop.progress import Progress

if TYPE_CHECKING:
    from asl_edge.data.arrays import PreparedArrays


@dataclass(frozen=True)
class Setup:
    """One training: what is trained, on what data, where. `dataclasses.replace` makes a variant of it for a trial."""

    run: Path
    """The run folder."""
    config: TrainConfig
    arrays: PreparedArrays
    progress: Progress = field(default_factory=Progress)
    devices: Distribution = ONE_DEVICE
    """Over which accelerators and hosts every batch is spread."""
    plan: ComputePlan = field(default_factory=ComputePlan)
    """Dtype policy, convolution implementation and XLA."""
