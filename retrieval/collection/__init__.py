"""The library as a whole: its state, problems, duplicates, and vectors for other programs.

status         what it holds, where, and in how many bytes
other_models   sizes of the models that are not current; drops one
check          finds problems and fixes them
nearness       decides which pictures are near copies; stars groups these
duplicates     groups of copies and near copies, with the best file first
relocate       a folder that moved, if its files are at the new place
export         vectors and paths as files
"""
