"""Manifests: tables of photos with the columns path and label, as CSV or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from matlens.data.layout.walk import has_photo_ending
from matlens.data.remote.stores import can_be_class
from matlens.errors import DataError
from matlens.settings.addresses import Address, address_of
from matlens.system.console import listed
from matlens.system.registry import near
from matlens.system.untrusted import (
    JSON_LIMIT,
    UNREADABLE_TABLE,
    in_short,
    open_regular,
    quoted,
    read_bounded,
    reason_of,
    text_of,
)

COLUMNS = ("path", "label")
LARGEST = JSON_LIMIT
"""The most bytes of a manifest; of a Parquet file also those of the two columns, unpacked."""

_ALIKE = {"path": ("file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "photo",
                   "key", "uri", "url", "name"),
          "label": ("class", "class_name", "classname", "category", "target", "material", "species", "y", "labels")}
_DAMAGE: tuple[type[Exception], ...] = UNREADABLE_TABLE
_MOST_ROWS = 10_000_000
_AT_ONCE = 4096
_SHOWN = 20
_SHORTEST = 3
"""Letters of a name that may be a slip."""


@dataclass(frozen=True)
class ManifestRow:
    """A photo of a manifest. number: of its line or row, from 1, the names of columns not counted."""

    number: int
    path: str
    label: str

    def place(self, base: str) -> str:
        """Return where the photo goes in a folder of class folders. base: the public address of the manifest's folder.

        A path that begins with the label's folder stays as it is, so that a manifest of a folder of class folders
        gives the photos the names that they have there.
        """
        name = self.path
        if "://" in name:
            public = _public(name)
            name = public.removeprefix(f"{base.rstrip('/')}/") if public.startswith(f"{base.rstrip('/')}/") else (
                f"{urlsplit(public).netloc}{urlsplit(public).path}")
            name = unquote(name) if public.startswith("http") else name
        return name if name.startswith(f"{self.label}/") else f"{self.label}/{name}"


@dataclass(frozen=True)
class Manifest:
    """The rows of a manifest that name photos. others: those whose paths end otherwise; unused: columns not read."""

    rows: tuple[ManifestRow, ...]
    others: tuple[ManifestRow, ...]
    unused: tuple[str, ...]


def read_manifest(file: Path, address: Address) -> Manifest:
    """Read a manifest that lies in a file. address: where it is from, which messages name.

    Raises:
        DataError: it is no table, lacks a column, or a row has an impossible path or label.
    """
    ending = PurePosixPath(address.name).suffix.lower()
    read = _parquet if ending in (".parquet", ".pq") else _csv
    try:
        names, cells = read(file, address)
        taken = [ManifestRow(number, _text(path).removeprefix("./"), _text(label))
                 for number, (path, label) in enumerate(cells, 1)]
    except _DAMAGE as problem:
        raise DataError(f"{address} is not a table of photos ({in_short(reason_of(problem))}). Write it as CSV in "
                        "UTF-8 or as Parquet, with the columns path and label.") from None
    for row in taken:
        if wrong := _wrong(row, address.scheme):
            raise DataError(f"{address}: row {row.number} {wrong}. Correct the row.")
    return Manifest(tuple(row for row in taken if has_photo_ending(_file_name(row))),
                    tuple(row for row in taken if not has_photo_ending(_file_name(row))),
                    tuple(name for name in names if name.strip().lower() not in COLUMNS))


_Cells = Iterator[tuple[Any, Any]]
"""The path and the label of each row."""


def _csv(file: Path, address: Address) -> tuple[list[str], _Cells]:
    text = text_of(read_bounded(file, LARGEST))
    head = text.partition("\n")[0]
    delimiter = "\t" if address.name.lower().endswith(".tsv") else max(",;\t", key=head.count)
    reader = (row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row)
    names = next(reader, [])
    path, label = _chosen(names, address)

    def cells() -> _Cells:
        for number, row in enumerate(reader, 1):
            if len(row) != len(names):
                raise ValueError(f"row {number} has {len(row)} cells, and there are {len(names)} columns")
            yield row[path], row[label]

    return names, cells()


def _parquet(file: Path, address: Address) -> tuple[list[str], _Cells]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise DataError(f"{address} needs pyarrow, which is not installed. Install it with: "
                        "pip install 'matlens[cloud]'. Or write the manifest as CSV.") from None
    with open_regular(file) as content:
        table = parquet.ParquetFile(content)
        about, names = table.metadata, list(table.schema_arrow.names)
        chosen = [names[place] for place in _chosen(names, address)]
        columns = [about.row_group(group).column(column) for group in range(about.num_row_groups)
                   for column in range(about.num_columns)]
        unpacked = sum(column.total_uncompressed_size for column in columns if column.path_in_schema in chosen)
        if about.num_rows > _MOST_ROWS or unpacked > LARGEST:
            raise ValueError(f"it has {about.num_rows:,} rows, whose two columns take {unpacked:,} bytes")
        cells = [pair for batch in table.iter_batches(_AT_ONCE, columns=chosen)
                 for pair in zip(*(batch.column(name).to_pylist() for name in chosen), strict=True)]
    return names, iter(cells)


def _chosen(names: Sequence[str], address: Address) -> tuple[int, int]:
    """Return the places of the two columns. Raises DataError, which names those that may be meant."""
    lowered = [name.strip().lower() for name in names]
    missing = [column for column in COLUMNS if lowered.count(column) != 1]
    if not missing:
        return lowered.index("path"), lowered.index("label")
    twice = [column for column in missing if column in lowered]
    if twice:
        raise DataError(f"{address} has several columns {twice[0]}. Keep one of them.")
    meant = {column: name for column in missing if (name := _meant(column, names, lowered))}
    way_out = " ".join(f"Rename {name} to {column}, if that is what it holds." for column, name in meant.items())
    there = ", ".join(in_short(name, 40) for name in names[:_SHOWN]) or "none"
    raise DataError(f"{address} has no column {' and no column '.join(missing)}. Its columns are: {there}"
                    f"{f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''}. "
                    f"{way_out or 'A manifest has a first line with the names of its columns: path,label.'}")


def _meant(column: str, names: Sequence[str], lowered: Sequence[str]) -> str:
    free = [name for name in lowered if name not in COLUMNS]
    usual = [name for name in _ALIKE[column] if name in free]
    for name in [*usual, *near(column, [name for name in free if len(name) >= _SHORTEST])]:
        return in_short(names[lowered.index(name)].strip(), 40)
    return ""


def _text(value: Any) -> str:
    """Return a cell as text; "" of an empty one, which `_wrong` refuses."""
    if isinstance(value, bytes):
        return value.decode()
    return "" if value is None else str(value).strip()


def _file_name(row: ManifestRow) -> str:
    return PurePosixPath(urlsplit(row.path).path if "://" in row.path else row.path).name


def _wrong(row: ManifestRow, scheme: str) -> str:
    """Say what is wrong with a row; "" of one that is right."""
    label, path = row.label, row.path
    if not path or not label:
        return f"has no {'path' if not path else 'label'}"
    if not can_be_class(label):
        return f"has the label {quoted(label)}, which no folder can be called"
    if "://" in path:
        try:
            its = address_of(path)
        except ValueError as error:
            return f"has an address that {error}"
        allowed = {"http": ("http", "https"), "https": ("http", "https"), "": ("s3", "gs", "http", "https")}.get(
            scheme, (scheme,))
        if its is None or its.scheme not in allowed:
            return (f"leads to {its.scheme if its else 'a file'}://, and a manifest of {scheme}:// names photos of "
                    f"{listed(allowed)} alone")
        return ""
    parts = path.split("/")
    if path.startswith("/") or path[1:2] == ":" or ".." in parts:
        return f"has the path {quoted(path)}, which leads out of the manifest's folder; paths are relative to it"
    if "" in parts or "." in parts or "\\" in path:
        return f"has the path {quoted(path)}, which is not written as folder/photo.jpg"
    return ""


def _public(address: str) -> str:
    known = address_of(address)
    return known.public if known else address
