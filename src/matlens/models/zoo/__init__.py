"""One file for each model that matlens knows by name."""
