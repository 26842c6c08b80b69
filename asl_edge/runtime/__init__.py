"""What runs on the device: providers, the predictor, sources and sinks, the doctor."""
