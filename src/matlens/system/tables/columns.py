"""Tables of many rows as columns of one .npz: a column of numbers is an array, one of texts two.

`name.letters` (L,) uint8 holds the texts of the column `name` one after the other, in UTF-8, and `name.ends` (N,) int64
where each ends. A million names so take their letters and 8 bytes each; an array of text would give each as much room
as the longest needs. Reading needs no other library than NumPy, and takes no memory that the file does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from matlens.system.files import whole_file
from matlens.system.untrusted_arrays import read_arrays

_LETTERS, _ENDS = "letters", "ends"
_ALL_LETTERS = "surrogatepass"
"""Names of files may hold lone surrogates, which plain UTF-8 has not."""

Column = Sequence[str] | npt.NDArray[Any]


def write_columns(path: Path, columns: Mapping[str, Column]) -> Path:
    """Write columns of texts or of numbers, compressed, whole or not at all. Raises WriteError."""
    arrays: dict[str, Any] = {}
    for name, column in columns.items():
        if isinstance(column, np.ndarray):
            arrays[name] = column
            continue
        encoded = [text.encode("utf-8", _ALL_LETTERS) for text in column]
        arrays[f"{name}.{_LETTERS}"] = np.frombuffer(b"".join(encoded), np.uint8)
        arrays[f"{name}.{_ENDS}"] = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    with whole_file(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return path


def read_columns(path: Path, texts: Sequence[str] = (), numbers: Mapping[str, str] | None = None,
                 ) -> tuple[dict[str, list[str]], dict[str, npt.NDArray[Any]]]:
    """Read the columns that `write_columns` wrote.

    Args:
        texts: the names of columns of texts. numbers: those of numbers, (N,), with NumPy's letters of their kinds.

    Raises:
        OSError or ValueError: the file has other columns, or is damaged.
    """
    plain = dict(numbers or {})
    wanted: dict[str, tuple[str, int | None]] = {name: (kinds, 1) for name, kinds in plain.items()}
    wanted |= {rf"{name}\.{_LETTERS}": ("u", 1) for name in texts} | {rf"{name}\.{_ENDS}": ("i", 1) for name in texts}
    arrays = read_arrays(path, wanted)
    if missing := [name for name in (*plain, *(f"{name}.{kind}" for name in texts for kind in (_LETTERS, _ENDS)))
                   if name not in arrays]:
        raise ValueError(f"it has no column {missing[0]}")
    return ({name: _texts(name, arrays[f"{name}.{_LETTERS}"], arrays[f"{name}.{_ENDS}"]) for name in texts},
            {name: arrays[name] for name in plain})


def _texts(name: str, letters: npt.NDArray[Any], ends: npt.NDArray[Any]) -> list[str]:
    if letters.dtype != np.uint8 or (np.diff(ends, prepend=0) < 0).any() or (int(ends[-1]) if len(ends) else 0) != len(
            letters):
        raise ValueError(f"the texts of its column {name} do not fit together")
    whole = letters.tobytes()
    return [whole[start:end].decode("utf-8", _ALL_LETTERS) for start, end in pairwise([0, *ends.tolist()])]
