"""What is asked of a catalog's tables, a class for each noun; `Catalog` has one of each.

reader      what they ask through: any connection to these tables
images      distinct contents, with all of their copies
files       places: sizes, times, failures
places      where in which root a path lies, however it is spelled
embeddings  vectors, by model and image
"""
