"""The engines of a cluster, each embedded or alone on this machine, beside what is built in."""
