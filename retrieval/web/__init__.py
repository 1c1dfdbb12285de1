"""`retrieve serve`: a library over HTTP, for the page in `page/` and for programs.

    server           listens, and runs what `app` composes; `connections` bounds who waits
    app              errors, the page's files, and the routes
    guard            who may ask, and how
    routes           the answers of the API, in the `schemas` that OpenAPI describes
    state            what the routes share
    index_jobs       index runs that the page asks for
    thumbnails       made when first asked for, by worker processes
    original_file    a picture's own file, if it is still the one that was indexed
    upload_store     pictures to search with; `scratch` has them on disk for a moment
    query_names      which names in a query a server follows

Nothing of it is imported before `retrieve serve` runs.
"""
