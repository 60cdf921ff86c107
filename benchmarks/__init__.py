"""Measurements, each beside a floor or a peer: `python -m benchmarks`."""
