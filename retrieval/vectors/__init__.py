"""The images nearest to a query vector.

store        the protocol of a vector store
scan         an exact scan of the catalog's own vectors
opening      which store a library has
file_store   a mapped FAISS file, plus newer vectors; index_file says when to build it again
milvus       a Milvus, on a server or embedded
nearest      results of a store, checked against the catalog
hubness      how similar a picture is to queries in general
"""
