"""Text towers of other projects, beside the image tower of a CLIP or alone.

`words` reads what OpenCLIP's config says of them; `encoders` gives the weights of those that are
Hugging Face's encoders our names. `alone` reads towers that were published without pictures, and
takes those of another model. `bert` knows the names of BERT and its like, and reads one alone,
from which a training can start.
"""
