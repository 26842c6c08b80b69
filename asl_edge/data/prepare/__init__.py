"""Labelled images to arrays with a manifest and a leak report."""

from __future__ import annotations

# At once, not lazily: the function `prepare` must replace the module of the same name as this package's attribute.
from asl_edge.data.prepare.prepare import PrepareConfig, prepare
from asl_edge.data.prepare.report import PrepareReport

__all__ = ["PrepareConfig", "PrepareReport", "prepare"]
