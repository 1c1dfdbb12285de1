"""The library as a whole: its state, its damage, its copies, its vectors for use elsewhere.

status       what it holds, where, in how many bytes
check        what is wrong with it, and how to repair that
duplicates   copies and near copies, in groups; nearness and stars find them
export       vectors and paths as files
"""
