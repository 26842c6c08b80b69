"""Trainings that decide something; none of them is shipped."""
