"""`python -m asl_edge` is `asl-edge`."""

from asl_edge.cli import main

if __name__ == "__main__":
    main()
