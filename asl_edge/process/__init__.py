"""What affects the whole process: signals, warnings, and what native libraries print."""
