"""Headings of the options in help."""

from __future__ import annotations

PHOTOS, TRAINING, NETWORKS, MACHINE = "Photos", "Training", "Networks", "Machine"
