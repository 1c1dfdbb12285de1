"""Image and text towers, beside those of CLIP's transformers, which are in model.py.

shapes.py computes the names and shapes of all weights of a tower, without torch. resnet.py is
CLIP's ResNet, from leaves to root. initial.py draws the first values of parameters. Which tower
belongs to which family of models is listed in families.py, one floor up.
"""
