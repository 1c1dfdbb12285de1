"""The parts that benchmarks share, from input to report.

inputs, libraries    generate pictures, models and libraries of any size
peers                runs the programs to compare with, in a Python of their own, and there also
                     image_hashes, onnx_export and onnx_encode
page_cache           removes files from memory, or reads them into it
timing, limits       time a command or a call, and the best that this machine can do
report               prints tables and writes JSON
"""
