"""Sources of images and sinks of predictions."""
