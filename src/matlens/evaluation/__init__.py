"""Judge a model on the test part: saved predictions, the metrics computed from them, and their pictures."""
