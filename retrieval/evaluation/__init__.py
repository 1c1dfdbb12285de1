"""Which model finds more of someone's own pictures: by captions, or by their own judgement.

By captions: `captions` reads (picture, text) pairs in the formats that data sets come in, `pool`
finds those pictures in a library and their vectors under each model, `ranks` places each caption's
picture among all, `measures` turns places into recall, median rank and precision with intervals,
and `comparison` composes them, a model at a time, into a `Comparison`.

Without captions, `judging` pools the best results of all models for some queries in random order,
and tells from someone's yes and no which model found more, and how likely that is luck.
"""
