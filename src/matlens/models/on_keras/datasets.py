"""The guide's input pipeline as tf.data, and its augmentation as Keras layers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from matlens.console import Reporter
from matlens.data.pipeline import PhotoBatches, part_batches
from matlens.data.prepare import prepare
from matlens.settings import Settings

_DEFAULTS = Settings()


def get_augmentation_layer() -> keras.Sequential:
    """The guide's augmentation of batches (B, H, W, 3) in [0, 1]; active with training=True only."""
    return keras.Sequential([
        layers.RandomFlip("horizontal"),
        layers.RandomRotation(0.1),
        layers.RandomZoom(0.1),
        layers.RandomTranslation(0.1, 0.1),
        layers.RandomContrast(0.1, value_range=(0, 1)),
    ], name="augmentation")


def build_datasets(
    prepared_dir: str | Path = _DEFAULTS.output_dir, img_size: tuple[int, int] = _DEFAULTS.img_size,
    batch_size: int = _DEFAULTS.batch_size, seed: int = _DEFAULTS.seed, return_raw: bool = False,
) -> tuple[Any, ...]:
    """The three parts of a prepared directory as tf.data.Datasets.

    Photos are decoded once into a memory-mapped store of uint8 and read from there, so no copy of the dataset lies
    in memory. Photos that cannot be read are left out and named.

    Args:
        prepared_dir: a folder with train/, val/ and test/ of class folders (or MINC-2500's layout).

    Returns:
        (train_ds, val_ds, test_ds, class_names): batches of images (B, H, W, 3) float32 in [0, 1] and one-hot labels
        (B, C) float32, train_ds shuffled anew each epoch. With `return_raw` a fifth, train_ds_raw: the same with
        images in [0, 255].

    Raises:
        DataError: a class that is missing or empty in any part, or no photos.
    """
    settings = Settings.load(options={"data_dir": Path(prepared_dir), "img_size": img_size, "batch_size": batch_size,
                                      "seed": seed})
    ready = prepare(settings, Reporter())

    def part(name: str, scale: float = 1.0) -> tf.data.Dataset:
        batches = part_batches(ready.split, name, ready.store, batch_size, seed=seed, shuffle=name == "train")
        return _as_dataset(batches, img_size, list(ready.split.class_names), scale)

    made = (part("train"), part("val"), part("test"), list(ready.split.class_names))
    return (*made, part("train", 255.0)) if return_raw else made


def _as_dataset(batches: PhotoBatches, img_size: tuple[int, int], class_names: list[str], scale: float,
                ) -> tf.data.Dataset:
    dataset = tf.data.Dataset.from_generator(_epochs(batches, scale), output_signature=(
        tf.TensorSpec((None, *img_size, 3), tf.float32), tf.TensorSpec((None, batches.num_classes), tf.float32)))
    # Without tf.data's own prefetch: batches are prepared ahead in Python, and an iterator that is thrown away while
    # tf.data's thread waits for Python's lock stalls.
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))
    dataset.class_names = class_names  # as image_dataset_from_directory has it
    return dataset


def _epochs(batches: PhotoBatches, scale: float) -> Callable[[], Iterator[Any]]:
    """A generator function that gives the next epoch's order each time it is called."""
    passed = -1

    def next_epoch() -> Iterator[Any]:
        nonlocal passed
        passed += 1
        for images, labels in batches.epoch(passed):
            yield (images if scale == 1.0 else images * np.float32(scale)), labels

    return next_epoch
