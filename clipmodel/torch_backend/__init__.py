"""The towers in torch, as they compute most quickly: for many pictures, on a CPU or a GPU.

`loading` fills the modules of model.py and resnet.py from a model folder; `fusing` saves them
passes over the memory; `onednn_vit` is a vision transformer for x86 processors. `image_encoder` is
what others use: batches of pixels in, unit vectors out.
"""
