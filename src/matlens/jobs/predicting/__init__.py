"""What `matlens predict` writes to files: a table that grows by whole rows, and Kaggle's two columns."""
