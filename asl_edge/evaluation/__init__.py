"""One interface over `.keras` and `.onnx`, and the report on a set of labelled pictures."""
