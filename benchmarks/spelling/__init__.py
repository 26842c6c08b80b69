"""Fingerspelled words, composed of real frames, through a model and the decoders of `asl_edge.runtime.spelling`."""
