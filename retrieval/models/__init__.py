"""Which model and which device encode.

choice     the model asked for, the library's, or the best available
known      the models that have a name, with their facts, as `retrieve models` lists them
speeds     how many images a second a model took on this machine
encoders   a model's image encoder, in NumPy or in torch
devices    the device asked for, $RETRIEVE_DEVICE, or the machine's best; those that there are
"""
