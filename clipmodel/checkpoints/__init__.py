"""Read checkpoints that others wrote: any layout in, weights under our names and a config out.

`files` finds the weights and what lies beside them; `torch_zip`, with `pickles` for its table of
contents, reads tensors and runs nothing; `layouts` gives them our names; `configs` reads what the
weights do not reveal, `preprocessors` how pictures are prepared and `vocabulary` how texts are
split, all three by `json_values`; `read` puts it together and checks every weight.
"""
