"""The towers in NumPy, for a few texts or pictures: importing torch takes longer than they do.

`weights` maps the file of a tower; `threads` multiplies on all cores; `transformer` holds the
blocks of both towers and `vision` the image towers; `batching` joins the texts of many threads.
`text_encoder` and `image_encoder` are what others use: texts or pixels in, unit vectors out.
"""
