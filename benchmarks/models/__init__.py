"""Models of others that load, small ones of every family, and recall beside a peer's."""
