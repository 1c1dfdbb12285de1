"""The source of published models: what is known of each one, and how its file gets here.

registry.py lists the models, with the address, checksum and config of each. download.py fetches a
file and resumes where it stopped. file_lock.py lets one process at a time do that; other processes
wait. openclip.py asks OpenCLIP for what its own names mean. pretrained.py, one floor up, puts these
together and turns a name into a model folder.
"""
