"""The towers in torch, made fast for many pictures, on a CPU or a GPU.

`loading` fills the modules of model.py and towers/ from a model folder (`safetensors_file`).
`inference` makes a tower fast: with fewer passes over the memory (`fusing`), in a form for x86
processors (`onednn_vit`, `onednn_siglip`, `onednn_efficientnet`) or in one for GPUs (`gpu_vit`,
`gpu_convolutions`), which `gpu_batches` keeps busy. Other packages use `image_encoder`: batches of
pixels in, unit vectors out. `devices` knows what there is and what each would do, `device_errors`
what is wrong with one, and `fitting` halves batches that memory is too small for.
"""
