"""Files that belong to a picture: the raw file beside a JPEG, the film of a Live Photo, sidecars.

pairs     tells them by their names, folder by folder
ledger    collects them during a scan, with the counts of what is left out
account   compares that with the catalog
sidecars  reads those with facts about their pictures
"""
