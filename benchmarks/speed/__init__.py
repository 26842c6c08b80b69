"""How fast: images per second, latency, start-up."""
