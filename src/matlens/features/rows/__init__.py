"""Rows of features, by number."""
