"""Whether a model is what it should be, and who made it."""
