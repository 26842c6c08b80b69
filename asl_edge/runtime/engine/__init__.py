"""ONNX Runtime sessions: providers, precision, I/O binding, caches."""
