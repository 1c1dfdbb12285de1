"""The catalog: everything that a library knows. All SQL of the project is here.

    database         the protocol of an engine: rows, transactions, locks, and this machine's folder
    sqlite           the engine of a folder: connections to a file, on any file system
    postgresql       the engine of a server, for many machines at once
    schema           the tables; `migrations` brings older ones to this form
    reading          `Catalog`: opens the database; reads models, roots and counts
    queries          reads images, files, places and embeddings
    conditions       conditions as SQL; `selection` turns `Filters` into ids
    browse, names    folders, cameras and formats to browse, and for shell completion
    writing, roots   every change, one transaction each, under a lock; `recording` has more
    integrity        finds and repairs invalid rows
    presence         checks which known files exist now; copy_names recognises copies by name
    thumbnail_cache  thumbnails in a file beside the catalog

Reads use sqlite3 and psycopg alone: importing SQLAlchemy takes half of a cold search.
"""
