"""Read the head of an artifact, of whichever kind it is."""

from __future__ import annotations

from pathlib import Path

from matlens.models import head
from matlens.models.heads import knn
from matlens.system.untrusted_arrays import read_arrays


def read_head(path: Path) -> head.AnyHead:
    """Read what `AnyHead.save` wrote. Raises ModelError."""
    with head.reading_head(path):
        arrays = read_arrays(path, {**head.ARRAYS, **knn.ARRAYS})
        return knn.KnnHead.of(arrays) if "exemplars" in arrays else head.Head.of(arrays)
