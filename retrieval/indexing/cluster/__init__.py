"""Encoding on the nodes of a Ray cluster; the only modules that import Ray.

session     connects to a cluster, or starts one on this machine
placement   which workers run on which nodes
workers     what runs on the nodes: decoders, in the same processes as a local run, and encoders
crew        starts the workers, and replaces those that die
pool        sends chunks of files to decoders and their pixels on to encoders
encoded     collects what comes back encoded, in batches for the recorder
writer      commits on the nodes, to a catalog that many processes may write to
engine      puts them together

Pixels stay on the nodes: they go from a decoder to an encoder through Ray's object store. This
machine sees file names, facts and vectors, and runs the same stages as without a cluster.
"""
