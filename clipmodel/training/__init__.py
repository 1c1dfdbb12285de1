"""The training and evaluation of the bundled model `tiny`: `python -m clipmodel.training`.

A convolutional network that was trained on ImageNet and a sentence encoder, both from `packages`,
stay as they are; what maps the pictures of the one into the space of the other's sentences is
learnt. `course` sets sizes and steps. `material` gathers photos (`data`), painted scenes and their
texts; `features` encodes the pictures, each in several views (`augment`), and `teacher` the texts.
`batches` draws from them, `learner` is what is learnt, `losses` say how wrong it is, `loop`
improves it, `train` composes these. `export` joins all parts to a model folder, and `evaluate`
measures it.
"""
