"""Where photos come from: folders, downloads, published datasets."""
