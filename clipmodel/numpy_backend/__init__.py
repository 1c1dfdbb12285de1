"""The towers in NumPy, for a few texts or pictures, which take less time than importing torch.

`weights` maps the file of a tower, and `threads` multiplies on all cores. `transformer` holds the
blocks of `text_tower` and of the image towers in `vision`; `batching` joins the texts of many
threads. Other packages use `text_encoder` and `image_encoder`: texts or pixels in, unit vectors
out.
"""
