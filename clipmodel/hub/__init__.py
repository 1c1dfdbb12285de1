"""The source of published models: what is known of each one, and how its file gets here.

published.py has the facts of every model that has a name, licences.py what licences forbid, and
names.py the spellings. registry.py has OpenAI's models, with the address, checksum and config of
each. hugging_face.py asks the hub what a repository holds, and fetching.py chooses the files of a
model; image_towers.py knows whose pictures fit a text tower that is published alone. openclip.py
asks OpenCLIP for what its own names mean. download.py fetches a file and resumes where it stopped.
file_lock.py lets one process at a time do that; other processes wait.
pretrained.py, one floor up, puts these together and turns a name into a model folder.
"""
