"""The training loop: start, steps, checkpoints, time budget, final scores."""
