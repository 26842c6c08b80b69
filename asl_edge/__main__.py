"""`python -m asl_edge` is `asl-edge`."""

from asl_edge.cli import command

if __name__ == "__main__":
    command()
