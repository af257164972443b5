"""Find what is wrong with a dataset, take it out, and put it back."""
