"""What goes with the public hand model: a classifier of its points, how it is mixed with a model, and its evaluation."""
