"""Cached activations: whole or not at all, in float16 and float32, and never a damaged one."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from matlens.errors import CacheError, ModelError
from matlens.features.activations import Activations

MAPS = np.random.default_rng(0).normal(0, 30, (5, 3, 2, 4)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "activations" / "key"


def write(folder: Path, dtype: str = "float32") -> None:
    def fill(keep):
        for row in (3, 0, 4, 2, 1):  # the engine answers in any order
            keep(row, MAPS[row])

    Activations.write(folder, MAPS.shape, dtype, fill, {"model": "some_model"})


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0.0), ("float16", 2.0**-11)])
def test_what_was_kept_comes_back_in_its_precision(folder, dtype, error):
    """float16 has 11 binary digits, so rounding costs at most half of the last one."""
    write(folder, dtype)
    found = Activations.open(folder)
    assert (found.shape, found.values.dtype) == (MAPS.shape, np.dtype(dtype))
    rows = np.array([4, 1, 1])
    read = found[rows]
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, MAPS[rows], rtol=error, atol=0)
    np.testing.assert_array_equal(read, MAPS[rows].astype(dtype).astype(np.float32))
    np.testing.assert_array_equal(np.load(folder / "activations.npy"), MAPS.astype(dtype))
    assert json.loads((folder / "activations.json").read_text())["model"] == "some_model"


@pytest.mark.parametrize("row", range(5))
def test_a_damaged_row_is_named_and_the_others_are_read(folder, row):
    """A flipped bit in gigabytes is found when it would be trained on."""
    write(folder)
    file = folder / "activations.npy"
    content = bytearray(file.read_bytes())
    size = MAPS[0].nbytes
    content[len(content) - (5 - row) * size + 7] ^= 16
    file.write_bytes(content)
    found = Activations.open(folder)
    others = np.delete(np.arange(5), row)
    np.testing.assert_array_equal(found[others], MAPS[others])
    with pytest.raises(CacheError, match=rf"{folder}.*row {row}\..*Delete that folder"):
        found[np.array([row, others[0]])]


@pytest.mark.parametrize("damage", ["cut off", "sums cut off", "gone", "another format", "no json", "another shape"])
def test_what_is_not_whole_is_not_there(folder, damage):
    """It is computed again instead."""
    assert Activations.open(folder) is None
    write(folder)
    about, data, sums = (folder / name for name in ("activations.json", "activations.npy", "checksums.npy"))
    if damage == "cut off":
        data.write_bytes(data.read_bytes()[:-1])
    elif damage == "sums cut off":
        np.save(sums, np.load(sums)[:-1])
    elif damage == "gone":
        data.unlink()
    elif damage == "no json":
        about.write_text("[]")
    else:
        changed = {"format": 99} if damage == "another format" else {"shape": [5, 2, 3, 4]}
        about.write_text(json.dumps(json.loads(about.read_text()) | changed))
    assert Activations.open(folder) is None


def test_a_value_that_float16_cannot_hold_is_an_error(folder):
    """It would be kept as infinity, and training would diverge in its first epoch without saying why."""
    def largest(value: float):
        return lambda keep: [keep(row, np.full((1, 1, 1), value, np.float32)) for row in range(2)]

    with pytest.raises(ModelError, match=r"too large for float16.*--activations float32"):
        Activations.write(folder, (2, 1, 1, 1), "float16", largest(65520))
    assert Activations.open(folder) is None
    for dtype, value in (("float16", 65504), ("float32", 65520)):
        Activations.write(folder, (2, 1, 1, 1), dtype, largest(-value))
        assert Activations.open(folder)[np.array([1])] == -value


def test_a_full_disk_is_told_with_the_way_out_and_leaves_nothing(folder):
    """The user tidies up; half of the activations would be taken for all of them."""
    def fill(keep):
        keep(0, MAPS[0])
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CacheError, match=rf"activations to {folder.parents[1]}: No space.*--cache-dir"):
        Activations.write(folder, MAPS.shape, "float16", fill)
    assert list(folder.parent.iterdir()) == []


def test_what_was_kept_before_stays_when_writing_anew_fails(folder):
    """Another run may be reading it."""
    write(folder)
    with pytest.raises(ZeroDivisionError):
        Activations.write(folder, MAPS.shape, "float16", lambda keep: 1 / 0)
    np.testing.assert_array_equal(Activations.open(folder)[np.arange(5)], MAPS)
