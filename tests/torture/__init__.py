"""Faults by the hundred, with a seed: `python -m tests.torture`. The tests run a few of each."""
