"""Synthetic hands: an articulated hand rendered in the shapes of the alphabet; no photographs."""

from __future__ import annotations

from asl_edge.data.synthetic.drawing import draw_hand
from asl_edge.data.synthetic.synthesis import SynthesisReport, synthesize

__all__ = ["SynthesisReport", "draw_hand", "synthesize"]
