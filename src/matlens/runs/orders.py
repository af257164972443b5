"""Describe a model of a run for its framework."""

from __future__ import annotations

from pathlib import Path

from matlens.models.precision import Wish
from matlens.models.protocol import BuildOrder
from matlens.settings.schema import Settings


def build_order(settings: Settings, model: str, num_classes: int, weights_file: Path | None = None, *,
                img_size: tuple[int, int] | None = None, precision: Wish = "float32", device: str | None = None,
                ) -> BuildOrder:
    """Return what to build. img_size: if not as set. Raises ModelError, see `BuildOrder`."""
    return BuildOrder(model, num_classes, img_size or settings.img_size, weights_file, settings.options_of(model),
                      precision, device, linear_head=settings.recipe == "probe", features=settings.features)
