"""What concerns the whole process: signals and what native libraries print."""
