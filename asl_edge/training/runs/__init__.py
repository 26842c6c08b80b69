"""Run folders: what they hold, how they are read, listed and compared."""
