"""Measurements, each of which writes a result that is committed."""
