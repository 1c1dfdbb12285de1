"""Nearest ids.

store        the protocol: what a search asks of vectors, wherever they lie
scan         the catalog's own vectors, one by one
file_store   a mapped FAISS file and the tail behind it; index_file says when to make it anew
nearest      what a store found, held against the catalog
hubness      how near a picture is to any query at all
"""
