"""The demo: the main job on drawn photos of materials, small enough for two cores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matlens.data.drawn.synthetic import MATERIALS, draw_dataset
from matlens.jobs.run import run
from matlens.models.registry import MODELS
from matlens.runs.run import Run
from matlens.settings.schema import Settings
from matlens.system.console import Reporter

DRAWN_PER_CLASS = 40
IMG_SIDE = 36
"""The smallest side that leaves every trunk a map of at least 2 x 2 places to explain."""
BATCH_SIZE = 32
EPOCHS = 6
DRAWN_SIDE = 96


def run_demo(out: Path, options: Mapping[str, Any], reporter: Reporter) -> Run:
    """Draw the photos beside `out`, unless they are there, and run all models on them.

    Args:
        options: settings that replace the demo's own, unless they are None.
    """
    # With so few steps from random weights, augmentation only delays learning.
    defaults: dict[str, Any] = {"img_size": IMG_SIDE, "batch_size": BATCH_SIZE, "max_epochs": EPOCHS,
                                "weights": "auto", "augment": False}
    if options.get("max_epochs") is None:
        defaults["epochs_of"] = {spec.name: spec.demo_epochs for spec in MODELS.entries() if spec.demo_epochs}
    chosen = {key: value for key, value in options.items() if value is not None}
    photos = out.with_name(f"{out.name}-photos")
    settings = Settings.load(options={**defaults, **chosen, "data_dir": photos})
    if not photos.exists():
        total = DRAWN_PER_CLASS * len(MATERIALS)
        with reporter.progress("drawing photos", total) as advance:
            draw_dataset(photos, photos_per_class=DRAWN_PER_CLASS, size=DRAWN_SIDE, seed=settings.seed,
                         on_progress=lambda done, _: advance(done, ""))
        reporter.say(f"drew {total} photos of {len(MATERIALS)} materials into {photos}")
    return run(settings, out, reporter)
