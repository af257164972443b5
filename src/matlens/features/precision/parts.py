"""Which photos' features are computed in fewer bits, and which in float32: what is judged is float32 in any case.

    learned   training and validation photos, in bfloat16: a head is trained on the first, the others check it
    judged    validation and test photos, in float32: they choose the epoch, and say how good the model is
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import chain
from pathlib import Path

from matlens.data.split.splits import Photo, Split
from matlens.features.cache import FeaturePart, cached_features, feature_parts, rows_of
from matlens.system.shards.gathered import ShardedRows


def learned_parts(split: Split, views: int) -> tuple[FeaturePart, ...]:
    """List what is computed in fewer bits: training and validation photos in view 0, training photos in the others."""
    train = tuple(photo.sha256 for photo in split.part("train"))
    return (FeaturePart("train and val", 0, _contents(split, "train", "val")),
            *(FeaturePart("train", view, train) for view in range(1, views)))


def judged_part(split: Split) -> FeaturePart:
    """Return what is computed in float32: validation and test photos as they are."""
    return FeaturePart("val and test", 0, _contents(split, "val", "test"))


def kept_features(cache_dir: Path, split: Split, photos: Sequence[Photo], key: str, judged_key: str | None,
                  ) -> ShardedRows | None:
    """Return the features (N, K) float32 of photos that a training computed, mapped from the disk, if still there.

    key, judged_key: under which they are in the cache; the second is None where all were computed in float32.
    """
    if judged_key is None:
        wanted = [(key, feature_parts(split, 1, pooled=True)[0].digests)]
    else:
        wanted = [(key, learned_parts(split, 1)[0].digests), (judged_key, judged_part(split).digests)]
    features = [cached_features(cache_dir, key, len(digests)) for key, digests in wanted]
    whole = [rows for rows in features if rows is not None]
    if len(whole) < len(wanted):
        return None
    rows = rows_of(photos, tuple(chain.from_iterable(digests for _, digests in wanted)))
    return reduce(ShardedRows.followed_by, whole).take(rows)


def _contents(split: Split, *parts: str) -> tuple[str, ...]:
    """List the contents of parts' photos, each once, in an order that follows from them."""
    return tuple(sorted({photo.sha256 for part in parts for photo in split.part(part)}))
