"""The scores of a classifier, each declared once."""
