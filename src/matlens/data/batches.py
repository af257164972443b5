"""Make batches for any model: float32 photos in [0, 1] with one-hot labels, prepared while the model works."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from matlens.data.ahead import Recycled, prepared_ahead
from matlens.data.balance import NATURAL, Balance
from matlens.data.pixels.augment import augment, drawn_variation, generator_of
from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.store import PixelStore
from matlens.data.pixels.values import as_floats
from matlens.data.split.splits import Photo, Split
from matlens.errors import DataError
from matlens.system.batching import batch_bounds
from matlens.types import Array, Batch, BytePhotos, Labels, Pixels

_TOP = np.float32(255)

_COPYING = 4
"""Threads that copy bytes: more of them wait for Python's lock, and keep it from the thread that feeds the device."""

_ONE_SIZE = "Give photos of one size in a batch, all in one array: numpy.stack(photos)"
_ONE_HOT = "Give one-hot rows, of class numbers: numpy.eye(NUM_CLASSES)[numbers]"


@dataclass(frozen=True)
class PhotoBatches:
    """Give the photos of one part in batches. Iterating gives epoch 0.

    rows: (N,) int64 rows of the store; labels: (N,) int64 class numbers.
    shuffle: use another order in each epoch, by (seed, epoch).
    augmented: vary each photo in each epoch, by (seed, epoch, position), so that there is no state to save or restore.
        A photo that an epoch takes several times is varied each time.
    raw: give images in [0, 255] instead of [0, 1].
    in_bytes: give `BytePhotos`, see `as_bytes`.
    balance: how photos count; it draws them where they are shuffled.
    split, part: the split and the part that the photos come from, if they come from a split.
    """

    store: PixelStore
    rows: Labels
    labels: Labels
    num_classes: int
    batch_size: int
    seed: int = 0
    shuffle: bool = False
    augmented: bool = False
    raw: bool = False
    split: Split | None = None
    part: str = ""
    in_bytes: bool = False
    balance: Balance = NATURAL

    @property
    def img_size(self) -> tuple[int, int]:
        """Return (height, width) of the photos."""
        height, width = self.store.pixels.shape[1:3]
        return height, width

    @property
    def class_names(self) -> list[str]:
        """Return the split's classes, in the order of the one-hot labels."""
        return list(self.split.class_names) if self.split else []

    def __len__(self) -> int:
        return len(batch_bounds(len(self.rows), self.batch_size))

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Give the batches of one epoch, which a thread prepares ahead."""
        return prepared_ahead(self._batches(number))

    def as_bytes(self) -> PhotoBatches:
        """Return the same batches with images as `BytePhotos`: a device computes of them what is given else.

        Raises ValueError for images in [0, 255].
        """
        if self.raw:
            raise ValueError("photos as bytes are in [0, 1] once they are computed; these are asked for in [0, 255]")
        return replace(self, in_bytes=True)

    def head(self, batches: int) -> PhotoBatches:
        """Return at most so many batches of the same photos, in a fixed shuffled order and not augmented."""
        chosen = np.random.default_rng(self.seed).permutation(len(self.rows))[: batches * self.batch_size]
        return PhotoBatches(self.store, self.rows[chosen], self.labels[chosen], self.num_classes, self.batch_size,
                            in_bytes=self.in_bytes)

    def order(self, epoch: int = 0) -> Labels:
        """Return the positions (N,) of the photos in the order in which an epoch gives them."""
        return self._draws(epoch) % max(len(self.rows), 1)

    def _draws(self, epoch: int) -> Labels:
        """Return numbers as `Balance.draws` does."""
        return self.balance.draws(self.labels, self.seed, epoch) if self.shuffle else np.arange(len(self.rows))

    def _batches(self, epoch: int) -> Iterator[Batch]:
        draws = self._draws(epoch)
        memory, threads = Recycled(np.uint8 if self.in_bytes else np.float32), os.cpu_count() or 1
        threads = min(threads, _COPYING) if self.in_bytes else threads
        shares = [slice(share, None, threads) for share in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            for start, end in batch_bounds(len(self.rows), self.batch_size):
                chosen = draws[start:end]
                images = self._unfilled(memory, len(chosen))
                list(pool.map(partial(self._fill, epoch), [images[share] for share in shares],
                              [chosen[share] for share in shares]))
                yield images, self.balance.targets(self.labels, chosen % len(self.rows), self.num_classes)

    def _unfilled(self, memory: Recycled, photos: int) -> Array | BytePhotos:
        """Return room for so many photos."""
        pixels = memory.take((photos, *self.store.pixels.shape[1:]))
        if not self.in_bytes:
            return pixels
        if not self.augmented:
            return BytePhotos(pixels)
        return BytePhotos(pixels, np.empty((photos, 2, 3)), np.empty(photos, dtype=np.float32))

    def _fill(self, epoch: int, images: Array | BytePhotos, draws: Labels) -> None:
        """Write the photos that were drawn into `images`; a photo that is drawn again is varied anew."""
        photos = zip(draws.tolist(), self.rows[draws % len(self.rows)].tolist(), strict=True)
        if isinstance(images, BytePhotos):
            for index, (draw, row) in enumerate(photos):
                images.pixels[index] = self.store.photo(row)
                if images.warps is not None and images.contrasts is not None:
                    images.warps[index], images.contrasts[index] = drawn_variation(
                        self.img_size, generator_of(self.seed, epoch, draw))
            return
        for image, (draw, row) in zip(images, photos, strict=True):
            photo = self.store.photo(row)
            if self.augmented:
                image[:] = augment(photo, generator_of(self.seed, epoch, draw))
            else:
                image[:] = photo  # copied first: dividing bytes into floats takes half as long again
                image /= _TOP
            if self.raw:
                image *= _TOP


def source_of(dataset: Any, what: str) -> Any:
    """Return the PhotoBatches behind a tf.data.Dataset of `build_datasets`, and any other dataset unchanged.

    Raises DataError, which names `what`, for what cannot be gone through.
    """
    source = getattr(dataset, "batches", dataset)
    if not isinstance(source, Iterable) and not hasattr(source, "__getitem__"):
        raise DataError(f"{what} is a {type(source).__name__}, which gives no batches. Give a dataset of "
                        "build_datasets, a tf.data.Dataset, or a list of (images, labels) batches.")
    return source


def as_photos_and_labels(given: Any, what: str) -> tuple[Any, Any]:
    """Return the images of a batch of the user's as an array or tensor (B, H, W, 3), and its labels as they are.

    Raises DataError, which names `what`, where the batch is no such pair.
    """
    if not (isinstance(given, tuple | list) and len(given) == 2):
        raise DataError(f"{what} must give (images, labels) batches, and gives a {type(given).__name__}. Give such as: "
                        f"{what} = [(images, labels)]")
    images = _as_array(given[0], f"images of {what}", _ONE_SIZE)
    if len(images.shape) != 4:
        raise DataError(f"The images of {what} must be (B, H, W, 3), not of shape {tuple(images.shape)}. {_ONE_SIZE}")
    return images, given[1]


def as_batch(given: Any, what: str) -> tuple[Any, Any]:
    """Return the (images, labels) of a batch of the user's, arrays or tensors.

    Raises:
        DataError: the batch is no such pair, its images are not (B, H, W, 3), its labels are not (B, C), or there are
            more of the one than of the other. The message names `what`.
    """
    images, labels = as_photos_and_labels(given, what)
    labels = _as_array(labels, f"labels of {what}", _ONE_HOT)
    if len(labels.shape) != 2:
        raise DataError(f"The labels of {what} must be one-hot, (B, C), not of shape {tuple(labels.shape)}. {_ONE_HOT}")
    refuse_other_length(images, labels, what)
    return images, labels


def refuse_other_length(images: Any, labels: Any, what: str) -> None:
    """Raise DataError where a batch has not as many images as labels."""
    if len(images) != len(labels):
        raise DataError(f"{what} gives {len(images)} images with {len(labels)} labels in a batch. Give a label for "
                        "each image.")


def _as_array(values: Any, what: str, way_out: str) -> Any:
    """Return an array or a tensor as it is, and lists as an array. Raises DataError."""
    if not hasattr(values, "shape"):
        try:
            return np.asarray(values, np.float32)
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            raise DataError(f"The {what} are no array of numbers ({reason}). {way_out}") from error
    if None in tuple(values.shape):
        raise DataError(f"The {what} are ragged, {values.shape}. {way_out}")
    return values


def part_batches(split: Split, part: str, store: PixelStore, batch_size: int, *, seed: int = 0,
                 shuffle: bool = False, augmented: bool = False, raw: bool = False, balance: Balance = NATURAL,
                 ) -> PhotoBatches:
    """Make the batches of one part of a split."""
    photos: Sequence[Photo] = split.part(part)
    rows = np.array([store.rows[photo.sha256] for photo in photos], dtype=np.int64)
    return PhotoBatches(store, rows, split.labels(photos), len(split.class_names), batch_size, seed, shuffle, augmented,
                        raw, split, part, balance=balance)


def read_pixels(root: Path, photos: Sequence[Photo], reader: PhotoReader, batch_size: int = 32) -> Iterator[Pixels]:
    """Decode photos of a split in order, in batches (B, H, W, 3) uint8.

    Raises:
        DataError: a photo cannot be read, or it was changed since the split was made.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(photos), batch_size):
            yield np.stack(list(pool.map(lambda photo: reader.read_unchanged(root / photo.path, photo.sha256),
                                         photos[start:start + batch_size])))


def read_photos(root: Path, photos: Sequence[Photo], img_size: tuple[int, int], *, batch_size: int = 32,
                keep_truncated: bool = False) -> Iterator[Array]:
    """Decode photos of a split as `read_pixels` does, in batches (B, H, W, 3) float32 in [0, 1]."""
    for pixels in read_pixels(root, photos, PhotoReader(img_size, keep_truncated), batch_size):
        yield as_floats(pixels)
