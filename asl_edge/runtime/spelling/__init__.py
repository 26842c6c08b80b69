"""Spelling: the probabilities of each frame go in, letters that never change come out."""
