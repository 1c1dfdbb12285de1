"""The towers in torch, made fast for many pictures, on a CPU or a GPU.

`loading` fills the modules of model.py and towers/ from a model folder (`safetensors_file`).
`inference` makes a tower fast: with fewer passes over the memory (`fusing`), or in a form for x86
processors (`onednn_vit`, `onednn_siglip`, `onednn_efficientnet`). Other packages use
`image_encoder`: batches of pixels in, unit vectors out.
"""
