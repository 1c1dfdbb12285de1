"""Indexing of what is not a file in a folder of this machine.

remote_scan   lists objects at an address
members       compares the members of a container, such as a tar shard, with the catalog
shard_table   what img2dataset's parquet beside a shard says
listed        compares a list of addresses with it
vectors_import takes over vectors that clip-retrieval has computed
reading_pool  fetches what is not on this machine, and hands the bytes to the workers that decode
"""
