"""Which checkpoints of others load, and which are refused."""
