"""What is wrong with a dataset, and how it is taken out and put back."""
