"""The read path: from a query to matches.

options        how a query is answered: limit, filters, ranking
parse          any query -> a `Question`, whose parts are in question
language       a line of the query language -> terms and filters; hints finds misspelled filters
query_encoder  a question -> a unit vector; templates puts its words into sentences
answer         vectors and filters -> matches
relevance      matches -> probabilities that they show what the words say
tags           pictures and labels -> the probability of each label
"""
