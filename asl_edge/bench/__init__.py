"""Latency and throughput of model files on this machine."""
