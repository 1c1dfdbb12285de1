"""Painted scenes, whose contents are known exactly: pictures for training, the demo and tests.

`scene` imagines the contents of a picture, its captions and queries; `painting` paints them, with
`things` in front of `backdrops`, all drawn with a `pen`.
"""
