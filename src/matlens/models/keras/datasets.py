"""Batches of photos as tf.data."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import tensorflow as tf


class EpochBatches(Protocol):
    """Batches by epoch, such as `data.batches.PhotoBatches`."""

    @property
    def num_classes(self) -> int:
        """C, the length of a one-hot label."""

    @property
    def img_size(self) -> tuple[int, int]:
        """(height, width) of the photos."""

    @property
    def class_names(self) -> list[str]:
        """The classes, in the order of the one-hot labels."""

    def __len__(self) -> int:
        """The number of batches in an epoch."""

    def epoch(self, number: int) -> Iterator[Any]:
        """The batches of one epoch, counted from 0."""


def as_dataset(batches: EpochBatches) -> tf.data.Dataset:
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


def _epochs(batches: EpochBatches) -> Callable[[], Iterator[Any]]:
    passed = -1

    def next_epoch() -> Iterator[Any]:
        nonlocal passed
        passed += 1
        yield from batches.epoch(passed)

    return next_epoch
