"""What survives: kills, long runs."""
