"""Engines beyond one machine: what their catalogs, vector stores and clusters sustain.

commits       images committed a second, to SQLite and PostgreSQL
milvus        Milvus Lite beside the built-in index, among the same vectors
ray_workers   images encoded a second on Ray, by encoders that sleep, and on one machine
"""
