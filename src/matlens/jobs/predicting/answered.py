"""Answer many photos: threads decode the next ones while a batch is computed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np

from matlens.data.pixels.archives import PhotoPlace, opening
from matlens.data.pixels.problems import Problem
from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.values import as_floats
from matlens.features.artifact import Artifact
from matlens.jobs.answers import AnswerOptions, answers_to
from matlens.types import Pixels

BATCH = 32
"""Photos that are computed at once."""

_AHEAD = 2
"""Batches that are decoded ahead."""

_Decoding = list[tuple[PhotoPlace, "Future[Pixels | Problem]"]]


def answered(artifact: Artifact, places: Sequence[PhotoPlace], question: AnswerOptions,
             ) -> Iterator[list[tuple[PhotoPlace, dict[str, Any] | Problem]]]:
    """Give batches of photos, in their order, with their answers (see `answers_to`), or why they cannot be read."""
    with opening(PhotoReader(artifact.img_size)) as opener, ThreadPoolExecutor(os.cpu_count()) as pool:
        batches = (places[start:start + BATCH] for start in range(0, len(places), BATCH))
        decoding = ([(place, pool.submit(opener.attempt, place)) for place in batch] for batch in batches)
        waiting: deque[_Decoding] = deque(islice(decoding, _AHEAD))
        try:
            while waiting:
                batch = waiting.popleft()
                waiting.extend(islice(decoding, 1))
                read = [(place, future.result()) for place, future in batch]
                photos = [pixels for _, pixels in read if not isinstance(pixels, Problem)]
                answers = iter(answers_to(artifact, as_floats(np.stack(photos)), question) if photos else ())
                yield [(place, pixels if isinstance(pixels, Problem) else next(answers)) for place, pixels in read]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
