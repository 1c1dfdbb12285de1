"""The towers in NumPy, for a few texts or pictures, which take less time than importing torch.

`weights` maps the file of a tower. `threads` multiplies matrices on all cores, and `integers`
multiplies by matrices of 8-bit integers. `transformer` has the blocks of the text towers in
`text_tower`, `bert` and `coca` and of the image towers in `vision`; `efficientnet` is an image
tower without them. `batching` encodes texts of many threads together. Other packages use
`text_encoder` and `image_encoder`: texts or pixels in, unit vectors out.
"""
