"""The guide's input pipeline: a prepared directory as batches for training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matlens.data.batches import PhotoBatches, part_batches
from matlens.data.prepare import prepare
from matlens.models.frameworks import FRAMEWORKS
from matlens.models.protocol import open_room
from matlens.notebook.label_space import remember_prepared
from matlens.settings.knobs import knob, notebook_setting, with_knobs
from matlens.settings.schema import Settings
from matlens.system.console import Reporter

OUTPUT_DIR = knob("output_dir")


@with_knobs
def build_datasets(
    prepared_dir: str | Path = OUTPUT_DIR, img_size: tuple[int, int] = knob("img_size"),
    batch_size: int = knob("batch_size"), seed: int = knob("seed"), return_raw: bool = False, *,
    augmented: bool = False, keep_truncated: bool = knob("keep_truncated"),
) -> tuple[Any, ...]:
    """Return the three parts of a prepared directory, in batches.

    Photos are decoded once, in parallel, into a memory-mapped store of uint8, and read from there: no copy of the
    dataset lies in memory. Photos that cannot be read are left out and named.

    Args:
        prepared_dir: a folder with train/, val/ and test/ of class folders, or in MINC-2500's layout.
        img_size: (height, width) in pixels.
        seed: of the training part's order.
        return_raw: add train_ds_raw, the training part with images in [0, 255].
        augmented: vary each photo of train_ds in each epoch, as `get_augmentation_layer` does, only faster.
        keep_truncated: also take photos whose end is missing (the guide's LOAD_TRUNCATED_IMAGES).

    Returns:
        (train_ds, val_ds, test_ds), with `return_raw` (train_ds, val_ds, test_ds, train_ds_raw). Each has
        `class_names` and gives images (B, H, W, 3) float32 in [0, 1] with one-hot labels (B, C) float32; train_ds in a
        new order each epoch. They are tf.data.Datasets where Keras runs on TensorFlow; else PhotoBatches, which can be
        iterated over as often as needed.

    Raises:
        DataError: a class that is missing or empty in any part, or no photos.
    """
    settings = Settings.load(options={
        "data_dir": Path(prepared_dir), "img_size": img_size, "batch_size": batch_size, "seed": seed,
        "keep_truncated": keep_truncated, "cache_dir": notebook_setting("cache_dir")})
    ready = prepare(settings, Reporter())
    remember_prepared(ready.source.root)

    def part(name: str, augmented: bool = False, raw: bool = False) -> Any:
        return _offered(part_batches(ready.split, name, ready.store, batch_size, seed=seed, shuffle=name == "train",
                                     augmented=augmented, raw=raw))

    made = (part("train", augmented), part("val"), part("test"))
    return (*made, part("train", raw=True)) if return_raw else made


def _offered(batches: PhotoBatches) -> Any:
    """Return batches as the dataset of Keras' back end; unchanged where Keras is not installed."""
    if FRAMEWORKS["keras"].missing_packages():
        return batches
    open_room("keras")
    from matlens.models.keras.backends import backend

    return backend().as_dataset(batches)
