"""Keras model to one ONNX file that proves its agreement."""
