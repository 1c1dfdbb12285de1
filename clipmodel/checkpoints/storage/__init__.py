"""Tensors from files, while nothing in them is run.

`torch_zip` reads one file, with `pickles` for its table of contents; `shards` joins the files that
an index names.
"""
