"""The towers in NumPy, for a few texts or pictures, which take less time than importing torch.

`weights` maps the file of a tower, and `threads` multiplies on all cores, `integers` by matrices of
8 bits. `transformer` holds the blocks of `text_tower`, of `bert` and of the image towers in
`vision`, beside which is `efficientnet`; `batching` joins the texts of many threads. Other packages
use `text_encoder` and `image_encoder`: texts or pixels in, unit vectors out.
"""
