"""Networks, recipes, fitting and the run folder."""
