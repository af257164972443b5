"""Corrections of labels: the file that holds decisions on them, and the setting that applies it to a run."""
