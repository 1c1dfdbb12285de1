"""What all benchmarks share.

inputs, libraries    pictures, models and libraries of any size, made here
timing, limits       how long a command or a call takes, and what this machine can do at best
page_cache           whether files are in memory
peers                the programs to compare with, in a Python of their own; it also runs
                     image_hashes, onnx_export and onnx_encode
report               tables and JSON
"""
