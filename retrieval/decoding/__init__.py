"""Decoding turns the bytes of files into pixels, in processes that may die.

formats          the one list of formats
limits           limits on bytes, pixels, seconds and memory
content          reads a file and hashes its bytes
decode           opens, turns upright, resizes and crops; uses `colours`, `exif` and
                 `pillow_errors`
difference_hash  64 bits of a picture that its copies have in common
task             the request to a process, and its result
worker_process   the process, from inside; `malloc` keeps its memory from picture to picture
worker           the process, from outside
pool             several workers, for any number of callers
ring             several for one caller, with pixels in shared memory
"""
