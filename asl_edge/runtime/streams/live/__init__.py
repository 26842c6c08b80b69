"""Live sources: cameras and streams of which only the newest frame counts."""
