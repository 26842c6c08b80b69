"""From arrays on disk to batches on the accelerator."""
