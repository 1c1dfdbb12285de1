"""The training and evaluation of the bundled model `tiny`: `python -m clipmodel.training`.

`course` sets the model's shape and its lessons. `material` gathers photos (`data`), painted scenes
and texts (`corpus`), and has them encoded by the `teacher`; `batches` draws from it, changed each
time by `augment`. `train` begins with the text tower, which has to `imitate` the teacher, and goes
on with the `losses` of pictures, both in `loop`; `evaluate` measures the result.
"""
