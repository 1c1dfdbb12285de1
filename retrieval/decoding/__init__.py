"""From the bytes of a file to pixels, in processes that may die.

formats          the one list of formats
limits           bytes, pixels, seconds and memory
content          reads a file and names its content
decode           opens, turns upright, resizes and crops; with `colours`, `exif` and, for what
                 goes wrong, `pillow_errors`
difference_hash  64 bits of a picture, which copies of it share
task             what a process is asked for and answers
worker_process   the process, from inside; `malloc` keeps its memory from picture to picture
worker           the process, from outside
pool             several of them
"""
