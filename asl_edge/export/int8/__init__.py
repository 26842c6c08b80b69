"""INT8 quantisation: calibration, scales, rounding of weights, and the search for layers to keep in float32."""
