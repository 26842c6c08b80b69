"""The network that finds 21 points and classifies by them: its layers, its loss, its weights."""
