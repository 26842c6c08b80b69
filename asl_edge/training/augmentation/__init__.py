"""Data augmentation, computed on the accelerator inside the compiled step and never exported."""

from __future__ import annotations

from asl_edge.training.augmentation.contact_sheet import write_sheet
from asl_edge.training.augmentation.layer import with_augmentation
from asl_edge.training.augmentation.policy import Augmentation, get, names

__all__ = ["Augmentation", "get", "names", "with_augmentation", "write_sheet"]
