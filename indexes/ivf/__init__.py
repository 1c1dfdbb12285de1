"""The approximate kind of index: lists of short codes around centroids, and the vectors themselves.

A search reads the codes of the lists nearest to the query, and compares the best of them exactly.
training.py makes centroids (kmeans.py) and a codebook from a sample, and gives each vector its list
and code. blocks.py orders codes as FAISS scans them; layout.py has the bytes, which writing.py
writes after a flat file, and growth.py with more vectors. search.py maps and searches the lists:
effort.py says how many of them, and how many of their codes to compare, as tuning.py measured it.
"""
