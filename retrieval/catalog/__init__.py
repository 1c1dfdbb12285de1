"""The catalog: everything that a library knows. All SQL of the project is here.

    sqlite           connections to the file, on any file system
    schema           the tables; `migrations` brings older ones to this form
    reading          `Catalog`: opens the file; reads models, roots and counts
    queries          reads images, files, places and embeddings
    conditions       conditions as SQL; `selection` turns `Filters` into ids
    browse, names    folders, cameras and formats to browse, and for shell completion
    writing, roots   every change, one transaction each, under the `lock`; `recording` has more
    integrity        finds and repairs invalid rows
    presence         checks which known files exist now; copy_names recognises copies by name
    backup           copies the catalog while it is in use
    thumbnail_cache  thumbnails in a file beside the catalog

Reads use the standard library's sqlite3: importing SQLAlchemy takes half of a cold search.
"""
