"""Painted scenes: pictures of which all is known that is in them, for training, demo and tests.

`scene` imagines what is in a picture and what may be said of it; `painting` paints that, things in
front of a backdrop (`things`, `backdrops`), all drawn with a `pen`.
"""
