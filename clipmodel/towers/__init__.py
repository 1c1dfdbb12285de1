"""Image and text towers, beside those that model.py composes of transformer.py.

shapes.py computes the names and shapes of all weights of a tower, without torch. The modules read
from leaves to root and know only tensors: resnet.py is CLIP's ResNet, efficientnet.py (its five
sizes are in lite.py) and siglip.py map pictures, openclip.py has OpenCLIP build towers, and bert.py
and coca.py map texts. wordpiece.py and sentencepieces.py turn texts into token ids. initial.py
draws the first values of parameters, precision.py sets their dtypes. Which tower belongs to which
family of models is listed in families.py, one floor up.
"""
