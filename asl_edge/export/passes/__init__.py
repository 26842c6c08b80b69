"""Passes over the graph: folding, half precision, FFT convolution, further outputs."""
