"""Batches in parts, where memory is short."""

from __future__ import annotations

import pytest

from matlens.errors import DeviceError
from matlens.models.micro_batches import MicroBatches


def holding(photos):
    """A computation that holds so many photos at once."""
    def compute(parts):
        if max(end - start for start, end in parts) > photos:
            raise MemoryError
        return parts

    return compute


def micro_batches():
    return MicroBatches(lambda error: isinstance(error, MemoryError), free=lambda: None)


def test_the_batch_is_halved_until_it_fits_and_stays_so():
    """64 photos where 20 fit: 32 fail, 16 do not; the next batch does not fail again."""
    found, told, tried = micro_batches(), [], []
    found.on_halved = told.append
    assert found.run(64, holding(20)) == [(0, 16), (16, 32), (32, 48), (48, 64)]
    assert told == [32, 16]
    assert found.run(40, lambda parts: tried.append(parts) or parts) == [(0, 16), (16, 32), (32, 40)]
    assert len(tried) == 1


def test_a_small_last_batch_is_halved_from_its_own_size():
    """Half of 64 would be tried in vain on 10 photos."""
    found = micro_batches()
    assert found.run(10, holding(5)) == [(0, 5), (5, 10)]
    assert found.size == 5


def test_no_part_is_a_single_photo_unless_all_are():
    """Batch normalisation needs two."""
    found = micro_batches()
    found.limit(4)
    assert found.parts(9) == [(0, 4), (4, 9)]
    found.limit(1)
    assert found.parts(3) == [(0, 1), (1, 2), (2, 3)]


def test_limits_only_lower():
    """A process that goes on in halves must not forget that it did."""
    found = micro_batches()
    found.limit(None)
    assert found.size is None
    for size, wanted in ((8, 8), (16, 8), (None, 8), (2, 2)):
        found.limit(size)
        assert found.size == wanted


def test_one_photo_that_does_not_fit_is_told():
    """There is nothing left to halve; the user must hear what helps."""
    with pytest.raises(DeviceError, match="--img-size"):
        micro_batches().run(8, holding(0))


def test_other_errors_are_not_taken_for_want_of_memory():
    """A defect would be tried again in smaller and smaller parts."""
    def compute(parts):
        raise ValueError("defect")

    found = micro_batches()
    with pytest.raises(ValueError, match="defect"):
        found.run(8, compute)
    assert found.size is None
