"""What a library knows, and the only SQL.

    sqlite           connections to the file, whatever file system it lies on
    schema           the tables, and how an older catalog becomes today's
    reading          `Catalog`: opened, and read from; models, roots and counts
    queries          … its images, files, places and embeddings
    conditions       `Filters` as SQL; `selection` turns them into ids
    browse, names    what there is to see, and what a shell completes
    writing, roots   every change, a transaction each, under the `lock`
    integrity        what is wrong with the rows
    presence         which of the known files are there now; copy_names tells copies by name
    backup           a copy of all of it, while it is in use
    thumbnail_cache  small pictures beside the catalog

Reads use the standard library's sqlite3, since SQLAlchemy takes half of a cold search to import.
"""
