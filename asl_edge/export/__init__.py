"""Keras to ONNX, half precision, and the proof that the exported file agrees with the model it was made from."""
