"""Read checkpoints that others wrote: any layout in, weights under our names and a config out.

`files` finds the weights and the files beside them. `storage/` reads tensors and runs nothing;
`layouts` gives them our names, and `shapes` has what they reveal. `configs` reads settings that
weights do not reveal, with `preprocessors` for pictures and `json_values` for single values;
`towers` derives configs from them and from shapes; `timm` and `siglip` know the names and settings
of SigLIP's, and `texts/` text towers of other projects. `read` composes these and checks every
weight; `vocabulary` checks that texts are split into CLIP's tokens, and `sentencepieces` finds or
makes the model of other tokens. `efficientnet` reads an image tower of another project, from which
a training can start.
"""
