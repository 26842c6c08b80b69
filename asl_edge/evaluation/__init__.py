"""Measuring a model on labelled pictures: one interface over `.keras`, run folders and `.onnx`."""
