"""Photos that a model does not know: the detector that finds them, chosen, and how well it and prediction sets do."""
