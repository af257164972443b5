"""Cached activations: whole or not at all, in float16 and float32, and never a damaged one."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from builders import cached_activations
from matlens.errors import CacheError, ModelError
from matlens.features.activations import Activations

MAPS = np.random.default_rng(0).normal(0, 30, (5, 3, 2, 4)).astype(np.float32)
MIXED = (3, 0, 4, 2, 1)
"""The engine answers in any order."""


def written(folder: Path) -> tuple[Path, Path]:
    """The index, and the only shard, of MAPS in a cache."""
    made = cached_activations(folder, MAPS, order=MIXED)
    shard, = made.shards
    return made.folder, shard


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0.0), ("float16", 2.0**-11)])
def test_what_was_kept_comes_back_in_its_precision(tmp_path, dtype, error):
    """float16 has 11 binary digits, so rounding costs at most half of the last one."""
    found = cached_activations(tmp_path, MAPS, dtype, MIXED)
    assert (found.shape, found.values.dtype) == (MAPS.shape, np.dtype(dtype))
    rows = np.array([4, 1, 1])
    read = found[rows]
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, MAPS[rows], rtol=error, atol=0)
    np.testing.assert_array_equal(read, MAPS[rows].astype(dtype).astype(np.float32))
    np.testing.assert_array_equal(found.values, MAPS.astype(dtype))
    assert json.loads((found.shards[0] / "shard.json").read_text())["model"] == "some_model"


@pytest.mark.parametrize("row", range(5))
def test_a_damaged_row_is_named_and_the_others_are_read(tmp_path, row):
    """A flipped bit in gigabytes is found when it would be trained on."""
    index, shard = written(tmp_path)
    place = Activations.open(index).values.where(row)[1]
    content = bytearray((shard / "values.npy").read_bytes())
    content[len(content) - (5 - place) * MAPS[0].nbytes + 7] ^= 16
    (shard / "values.npy").write_bytes(content)
    found = Activations.open(index)
    others = np.delete(np.arange(5), row)
    np.testing.assert_array_equal(found[others], MAPS[others])
    with pytest.raises(CacheError, match=rf"{shard} are damaged at row {row} "):
        found[np.array([row, others[0]])]
    again = cached_activations(tmp_path, MAPS)
    np.testing.assert_array_equal(again[np.arange(5)], MAPS)


@pytest.mark.parametrize("damage", ["cut off", "sums cut off", "gone", "another format", "no json", "another shape"])
def test_what_is_not_whole_is_not_there(tmp_path, damage):
    """It is computed again instead."""
    index, shard = written(tmp_path)
    about, data, sums = (shard / name for name in ("shard.json", "values.npy", "checksums.npy"))
    if damage == "cut off":
        data.write_bytes(data.read_bytes()[:-1])
    elif damage == "sums cut off":
        np.save(sums, np.load(sums)[:-1])
    elif damage == "gone":
        data.unlink()
    elif damage == "no json":
        about.write_text("[]")
    else:
        changed = {"format": 99} if damage == "another format" else {"shape": [2, 3, 4]}
        about.write_text(json.dumps(json.loads(about.read_text()) | changed))
    assert Activations.open(index) is None
    np.testing.assert_array_equal(cached_activations(tmp_path, MAPS)[np.arange(5)], MAPS)


def test_a_value_that_float16_cannot_hold_is_an_error(tmp_path):
    """It would be kept as infinity, and training would diverge in its first epoch without saying why."""
    def maps(value: float) -> np.ndarray:
        return np.full((2, 1, 1, 1), value, np.float32)

    with pytest.raises(ModelError, match=r"too large for float16.*--activations float32"):
        cached_activations(tmp_path, maps(65520), "float16")
    assert not list((tmp_path / "activations").glob("*-*"))
    for dtype, value in (("float16", 65504), ("float32", 65520)):
        assert cached_activations(tmp_path / dtype, maps(-value), dtype)[np.array([1])] == -value


def test_a_full_disk_is_told_with_the_way_out_and_leaves_nothing(tmp_path, monkeypatch):
    """The user tidies up; half of the activations would be taken for all of them."""
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("matlens.system.shards.shard._save", full)
    with pytest.raises(CacheError, match=rf"activations to {tmp_path}: No space.*--cache-dir"):
        cached_activations(tmp_path, MAPS, "float16")
    assert not list((tmp_path / "activations").glob("*-*"))


def test_activations_of_no_photos_have_a_shape(tmp_path):
    """The validation part is empty where all photos are trained on."""
    found = cached_activations(tmp_path, MAPS[:0])
    assert found.shape == (0, 3, 2, 4)
    assert found[np.zeros(0, np.int64)].shape == (0, 3, 2, 4)
