"""Batches of photos as tf.data."""

from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from matlens.data.pipeline import PhotoBatches


def as_dataset(batches: PhotoBatches) -> tf.data.Dataset:
    """A tf.data.Dataset that gives the next epoch's order each time it is gone through.

    It has `class_names`, as image_dataset_from_directory's have, and `batches`: where it comes from.
    """
    dataset = tf.data.Dataset.from_generator(_epochs(batches), output_signature=(
        tf.TensorSpec((None, *batches.img_size, 3), tf.float32),
        tf.TensorSpec((None, batches.num_classes), tf.float32)))
    # Without tf.data's own prefetch: batches are prepared ahead in Python, and an iterator that is thrown away while
    # tf.data's thread waits for Python's lock stalls.
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))
    dataset.class_names = batches.class_names
    dataset.batches = batches
    return dataset


def _epochs(batches: PhotoBatches) -> Callable[[], Iterator[Any]]:
    passed = -1

    def next_epoch() -> Iterator[Any]:
        nonlocal passed
        passed += 1
        yield from batches.epoch(passed)

    return next_epoch
