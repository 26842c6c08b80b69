"""One interface over whatever can be evaluated: ONNX and Keras models."""
