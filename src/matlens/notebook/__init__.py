"""The functions of the notebook guide, over the same code as the command line."""
