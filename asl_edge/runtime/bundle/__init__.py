"""Bundles: reading, golden tests and the record of those that passed."""
