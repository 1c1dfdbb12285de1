"""Beside the recorder, for many pictures a second.

known_contents     whether a content is in the catalog, mostly without asking it
background_writer  transactions in a thread
remote_writer      transactions in a process, from outside
writer_process     the same from inside
"""
