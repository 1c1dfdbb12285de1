"""The library as a whole: its state, its damage, its duplicates, its vectors for other programs.

status       what it holds, where, and in how many bytes
check        finds problems and fixes them
duplicates   copies and near copies, in groups; nearness and stars find them
export       vectors and paths as files
"""
