"""Measurements, each with its input made on the spot: `python -m benchmarks NAME`."""
