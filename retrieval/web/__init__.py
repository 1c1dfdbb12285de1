"""`retrieve serve`: a library over HTTP, for the page in `page/` and for programs.

    server      listens, and runs what `app` composes
    app         routes, errors, the page's files
    guard       who may ask, and how
    searching   /api/search, /api/similar, /api/duplicates
    pictures    /api/pictures: what is known of one, its thumbnail, its file
    uploads     /api/uploads: pictures to search with
    collection  /api/status, folders, facets, failures, and index runs
    site        what all of them share

Nothing of it is imported before `retrieve serve` runs.
"""
