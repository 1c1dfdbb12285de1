"""What `writing` leaves to others: each function is one transaction as well.

facts        dates, places, ratings and texts, from metadata and sidecars
other_files  companions of pictures, and the counts of what is left out
settings     texts by name, for every program that opens the library
outbox       changes that a vector store beside the catalog lacks yet
upsert       INSERT with ON CONFLICT, in the dialect of the database
containers   files whose members are pictures
"""
