"""What goes with the public hand model: a classifier of its points, its mixture with a model, their evaluation."""
