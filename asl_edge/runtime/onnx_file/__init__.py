"""What is read from an `.onnx` file without the onnx package: metadata, safety, external weights."""
