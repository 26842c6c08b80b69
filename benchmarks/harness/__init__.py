"""What the benchmarks share: the machine's description, processes, results."""
