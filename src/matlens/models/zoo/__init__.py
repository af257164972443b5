"""The models that matlens knows by name, one file each."""
