"""Models of others: which checkpoints load, small ones of every family, and recall beside a peer's."""
