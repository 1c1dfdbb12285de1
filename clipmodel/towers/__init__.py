"""Families of towers beside CLIP's own, as modules of torch: leaves to root, tensors only.

`efficientnet` maps pictures, with the configs of its five sizes in `lite`; `bert` maps texts, which
`wordpiece` turns into token ids. Their quick and NumPy versions are in the backends.
"""
