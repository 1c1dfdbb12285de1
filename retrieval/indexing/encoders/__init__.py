"""Encoders, which work beside the run: in threads of this process, or in a process for each device.

engine          the protocol of both
local           an encoder in this process
device          a process with an encoder, from outside: what to do when it ends
device_process  the same from inside
queue           pictures that wait for the encoders, and what comes back
"""
