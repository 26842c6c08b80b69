"""INT8: ranges, scales, rounding, and the search for layers to leave in float32."""
