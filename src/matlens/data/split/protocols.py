"""Protocols: the rules by which a dataset is divided.

    minc:N      official split N of MINC-2500's layout        minc:all   each official split, in a run of its own
    prepared    the folders train/, val/ and test/
    random      70/15/15 of each class, by a seed             grouped    the same, without dividing --groups
    kfold:K     each of K folds is the test part of a run of its own, and the next fold is val
    kfold:K:I   one of those runs

A protocol that draws never divides a photo and its copies, exact or nearly so.
"""

from __future__ import annotations

import dataclasses

from matlens.data.source.sources import Listed, Source, read_official_split
from matlens.errors import DataError, SettingsError
from matlens.settings.protocols import WORDS, draws


def default_protocol(source: Source, groups: str | None = None) -> str:
    """Return `grouped` if groups are named, `minc:1` for lists, `prepared` for train/ val/ test/, else `random`."""
    if groups is not None:
        return "grouped"
    if source.layout == "minc":
        return f"minc:{source.split_numbers[0]}"
    return "prepared" if source.layout == "prepared" else "random"


def splits_of_series(protocol: str, source: Source) -> tuple[str, ...]:
    """Return the protocols that a series stands for. Raises SettingsError or DataError."""
    if protocol == "minc:all":
        _need_lists(source, protocol)
        return tuple(f"minc:{number}" for number in source.split_numbers)
    folds, _ = folds_of(f"{protocol}:1", protocol)
    return tuple(f"{protocol}:{fold}" for fold in range(1, folds + 1))


def folds_of(protocol: str, given: str | None = None) -> tuple[int, int]:
    """Return (number of folds, fold) of `kfold:K:I`. Raises SettingsError, which names what was given."""
    folds, fold = map(int, protocol.split(":")[1:])
    if not 3 <= folds <= 100 or not 1 <= fold <= folds:
        raise SettingsError(f"--protocol {given or protocol}: train, val and test need 3 to 100 folds, numbered from "
                            "1. Use --protocol kfold:5 for all folds, or --protocol kfold:5:1 for the first.")
    return folds, fold


def listed_by_protocol(source: Source, protocol: str) -> tuple[Listed, ...]:
    """Return the photos that a protocol uses, before any photo is read. Raises SettingsError or DataError."""
    kind, _, number = protocol.partition(":")
    if kind == "minc" and number.isdigit():
        _need_lists(source, protocol)
        return read_official_split(source, int(number))
    if draws(protocol):
        if source.layout == "prepared":
            return tuple(dataclasses.replace(photo, part=None) for photo in source.photos)
        return source.photos
    if protocol == "prepared":
        if source.layout != "prepared":
            raise DataError(f"--protocol prepared needs the folders train/ val/ test/; {source.root} has none. "
                            f"Use --protocol {default_protocol(source)}.")
        return source.photos
    raise SettingsError(f"Unknown protocol '{protocol}'. Choose {WORDS}.")


def _need_lists(source: Source, protocol: str) -> None:
    if source.layout != "minc":
        raise DataError(f"--protocol {protocol} needs MINC-2500's layout (images/ and labels/train1.txt ...); "
                        f"{source.root} has none. Use --protocol {default_protocol(source)}.")
