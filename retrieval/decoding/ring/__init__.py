"""Decoding in processes that put their pixels into memory shared with this one and the encoders'.

memory       slots for the pixels of one picture each
messages     what a worker says of a file, small and quick to read
ring_worker  a worker process that is given tasks ahead
pool         several of them, and the one thread that hears them all
"""
