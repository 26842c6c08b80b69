"""Bytes or arrays of an image to the uint8 tensor that a model takes: the same code for training and on a device."""
