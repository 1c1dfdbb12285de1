"""Queries about a catalog's tables: a class for each noun, and `Catalog` has one of each.

reader      the protocol that runs their statements
images      distinct contents, with all of their copies
files       sizes, times and failures of files
other_files companions of pictures, and the counts of what is left out
places      the roots and relative paths that a path stands for, in any spelling
containers  files whose members are pictures, and where the bytes of a picture are
embeddings  vectors, by model and image
"""
