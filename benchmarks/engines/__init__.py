"""Engines beyond one machine: what their catalogs, vector stores and clusters sustain.

commits       images committed a second, to SQLite and PostgreSQL
milvus        Milvus Lite beside the FAISS file: recall and latency
"""
