"""Measuring a model on labelled images: one interface over `.keras`, run folders and `.onnx`."""
