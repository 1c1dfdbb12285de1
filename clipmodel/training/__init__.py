"""How the bundled model `tiny` is made and measured: `python -m clipmodel.training`."""
