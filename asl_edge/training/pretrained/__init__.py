"""Initial weights from a run, a `.keras` file or an exported `.onnx` file."""
