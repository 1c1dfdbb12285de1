"""The read path: from a query to matches.

language       a line as people type it -> terms and filters
options        how a query is answered: limit, filters, ranking
parse          any query -> a `Question` (question)
query_encoder  a question -> one unit vector, with the help of fetch, addresses, templates
answer         vectors and filters -> matches
relevance      how likely a match is what the words say
tags           which of some labels a picture shows
"""
