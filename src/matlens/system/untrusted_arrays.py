"""Read arrays from files that strangers may have made: stated sizes are compared with the file before memory is taken.

All functions raise ValueError or OSError, as in `untrusted`.
"""

from __future__ import annotations

import math
import re
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from matlens.system.untrusted import open_regular, refuse_bomb

_CHUNK = 1 << 20

_PLAIN_FILTERS = frozenset({1, 2, 3})
"""HDF5's numbers of deflate, shuffle and Fletcher's checksum (H5Zpublic.h): others are plug-ins, or lossy."""

_EXPANDING_LIMIT = 256 << 20
"""How many bytes the HDF5 datasets of a file may have beyond what is stored of them."""


def read_arrays(path: Path, wanted: Mapping[str, tuple[str, int | None]]) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays of a .npz, each checked by its header before it is allocated.

    Args:
        wanted: by a regular expression that matches whole names: NumPy's letters of the kinds that are allowed ("f",
            "iu", "U") and the number of dimensions (None: any). Other names are refused, and so are objects (pickles).

    Raises:
        ValueError: an array has another name, kind or number of dimensions, a size that is not that of its member, or a
            wrong checksum.
    """
    arrays = {}
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            refuse_bomb(archive, path.stat().st_size)
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                rule = next((rule for pattern, rule in wanted.items() if re.fullmatch(pattern, name)), None)
                if rule is None or name == member.filename:
                    raise ValueError(f"it holds {member.filename!r}, which does not belong there")
                arrays[name] = _read_array(archive, member, *rule)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return arrays


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, kinds: str, dimensions: int | None,
                ) -> npt.NDArray[Any]:
    with archive.open(member) as file:
        shape, by_columns, kind = _header(file, member.filename)
        if kind.hasobject or kind.kind not in kinds or not kind.isnative or dimensions not in (None, len(shape)):
            raise ValueError(f"{member.filename} holds {kind} of shape {shape}")
        expected = math.prod(shape) * kind.itemsize
        if min(shape, default=0) < 0 or file.tell() + expected != member.file_size:
            raise ValueError(f"{member.filename} says to have the shape {shape}, which is not its size")
        memory = np.empty(expected, dtype=np.uint8)
        for start in range(0, expected, _CHUNK):
            part = file.read(min(_CHUNK, expected - start))
            memory[start:start + len(part)] = np.frombuffer(part, dtype=np.uint8)
            if len(part) < min(_CHUNK, expected - start):
                raise ValueError(f"{member.filename} is cut off")
        file.read(1)  # zipfile compares the checksum at the end
    if not expected:
        return np.zeros(shape, dtype=kind)
    return memory.view(kind).reshape(shape, order="F" if by_columns else "C")


def _header(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header of a .npy: its shape, whether it lies column by column, and its type."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"{name} has the version {version}")
    try:
        return readers[version](file)
    except (SyntaxError, tokenize.TokenError) as error:  # NumPy reads a header as Python does
        raise ValueError(f"{name} has a damaged header: {error}") from error


def map_array(path: Path) -> npt.NDArray[Any]:
    """Map the array of a .npy of numbers into memory, of which it then takes only what is read."""
    with open_regular(path) as file:
        shape, by_columns, kind = _header(file, path.name)
        if kind.hasobject:
            raise ValueError(f"{path.name} holds {kind}")
        if not math.prod(shape):
            return np.zeros(shape, kind)
        # A plain array over the mapped one, since np.memmap returns rows several times more slowly.
        return np.asarray(np.memmap(file, kind, "r", file.tell(), shape, "F" if by_columns else "C"))


def check_hdf5(file: Any, size: int) -> None:
    """Walk through an open h5py.File of `size` bytes, and raise ValueError for content that no model file needs.

    That is links and virtual or external datasets, which read other files; datasets that are larger than what is stored
    of them; filters of plug-ins; and types other than numbers and text.
    """
    import h5py

    groups, seen, expanding = [file["/"]], set(), 0
    while groups:
        group = groups.pop()
        _check_attributes(group, size)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name} is a link to something else")
            child = group[name]
            place = h5py.h5o.get_info(child.id).addr
            if place in seen:
                continue
            seen.add(place)
            if isinstance(child, h5py.Group):
                groups.append(child)
                continue
            if not isinstance(child, h5py.Dataset):
                raise ValueError(f"{name} is a {type(child).__name__}")
            expanding += _checked_dataset(child)
            _check_attributes(child, size)
    if expanding > _EXPANDING_LIMIT:
        raise ValueError(f"its datasets say to have {expanding} bytes more than are stored of them")


def _checked_dataset(dataset: Any) -> int:
    """Check a dataset. Returns how many bytes it has beyond those that are stored."""
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{dataset.name} lies in another file")
    _check_type(dataset.dtype, dataset.name)
    properties = dataset.id.get_create_plist()
    codes = {properties.get_filter(number)[0] for number in range(properties.get_nfilters())}
    if codes - _PLAIN_FILTERS:
        raise ValueError(f"{dataset.name} needs HDF5's filters {sorted(codes - _PLAIN_FILTERS)}")
    return max(0, int(math.prod(dataset.shape or ()) * dataset.dtype.itemsize - dataset.id.get_storage_size()))


def _check_attributes(item: Any, size: int) -> None:
    import h5py

    for name in item.attrs:
        about = h5py.h5a.open(item.id, name.encode())
        _check_type(about.dtype, name)
        if math.prod(about.shape or ()) * about.dtype.itemsize > size:
            raise ValueError(f"the attribute {name} says to be larger than the file")


def _check_type(kind: np.dtype[Any], name: str) -> None:
    import h5py

    if kind.kind not in "fiubS" and h5py.check_string_dtype(kind) is None:
        raise ValueError(f"{name} holds {kind}, neither numbers nor text")
