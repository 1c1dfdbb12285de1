"""`retrieve serve`: a library over HTTP, for the page in `page/` and for programs.

    server           listens, and runs what `app` composes; `connections` limits who waits
    app              errors, the page's files, and the routes
    guard            checks who may do what
    routes           answer the API's requests in the `schemas` that OpenAPI describes
    state            the common state of the routes
    index_jobs       index runs that the page starts
    thumbnails       made by worker processes on first request
    original_file    a picture's own file, if it is still the one that was indexed
    upload_store     pictures to search with; `scratch` holds them on disk for a moment
    query_names      resolves names in a query

None of it is imported before `retrieve serve` runs.
"""
