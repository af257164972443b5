"""Headings of the options in help."""

from __future__ import annotations

PHOTOS, TRAINING, NETWORKS, MACHINE = "Photos", "Training", "Networks", "Machine"

MAIN = frozenset({"data_dir", "protocol", "groups", "models", "weights", "weights_dir", "img_size", "recipe",
                  "max_epochs", "batch_size", "augment", "seed", "seeds", "device", "on"})
"""The settings whose options help shows at once. The others' stand under `--help-all`."""
