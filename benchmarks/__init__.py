"""Benchmarks, each of which generates its input: `python -m benchmarks NAME`.

decode, encode, pipeline, index, memory, rescan, news    the write path
search, serve, soak, indexes                   the read path
relevance, duplicates                          quality: rankings and near copies
claims                                         measures and writes calibration.json
harness                                        the parts that all of them share
"""
