"""The commands `asl-edge data ...`."""
