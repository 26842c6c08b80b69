"""Measuring `asl-edge serve`."""
