"""Look for datasets in the places where people have them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from matlens.data.layout.layouts import layout_by_names
from matlens.data.layout.own import is_run
from matlens.data.layout.walk import Folder, rooted
from matlens.data.source.sources import Source, open_source, source_in
from matlens.errors import DataError
from matlens.settings.knobs import notebook_setting
from matlens.system.caches import Say, silent
from matlens.system.ownership import places as kaggle

_DEPTH = 8
"""How many folders deep to look. Kaggle mounts datasets at input/<slug> or input/datasets/<owner>/<slug>, and the
folders of unpacked archives lie deeper still."""

_MOST_FOLDERS = 20_000
"""How many folders of one place are read, the upper ones first. A home folder may have millions."""

_Role = Literal["named", "searched", "container"]
"""How a place came to be searched: the user named it, it is a usual place, or it never is a dataset but holds some."""


def find_sources(places: Sequence[Path] | None = None, warn: Say = silent) -> list[Source]:
    """Find the datasets in these folders and some folders deeper, by their layout and not by their name.

    Args:
        places: by default the current folder and the places that `find_dataset` names. One that is given is also
            returned if other commands take it as a dataset, although it may as well be a folder of datasets.
        warn: called with a message if a place has too many folders to read them all.
    """
    searched = [*_usual_places(), (Path(), "searched")] if places is None else [(place, "named") for place in places]
    sources: dict[Path, Source] = {}
    for place, role in searched:
        for source in _Search(rooted(place), warn).datasets(role):
            sources.setdefault(source.root.resolve(), source)
    return list(sources.values())


def find_dataset(data_dir: str | Path | None = None) -> Path | None:
    """Find the dataset to work on: `data_dir` if it is given, else the likeliest dataset in the usual places.

    These are `MATLENS_DATA`, Kaggle's input folder (whatever the dataset is called there), the folder that
    `matlens data fetch` uses on Kaggle, and DATA_DIR. A dataset in MINC-2500's layout comes first, then the one
    with the most photos.

    Returns:
        The dataset's folder, or None if there is none.

    Raises:
        DataError: `data_dir` is no dataset.
    """
    if data_dir is not None:
        return open_source(Path(data_dir)).root
    sources = [source for place, role in _usual_places() for source in _Search(rooted(place)).datasets(role)]
    best = max(sources, key=lambda source: (source.layout == "minc", len(source.photos)), default=None)
    return best.root if best is not None else None


def _usual_places() -> Iterator[tuple[Path, _Role]]:
    if named := os.environ.get("MATLENS_DATA"):
        yield Path(named), "searched"
    yield kaggle.KAGGLE_ROOT / "input", "container"
    yield kaggle.KAGGLE_ROOT / "tmp", "container"
    yield notebook_setting("data_dir"), "searched"


class _Search:
    """The search of one place: its folders are read level by level, each real folder once, up to a bound.

    named: of each folder that was read, whether the names of its subfolders show that it is a dataset. holding: how
    many photos were seen in a folder and below, of the folders that hold any, or such datasets.
    """

    def __init__(self, top: Folder, warn: Say = silent) -> None:
        self.top, self.named = top, dict[Folder, bool]()
        self._read(warn)
        self.holding: Counter[Folder] = Counter()
        for folder, named in self.named.items():
            if named or folder.content.photos:
                self.holding.update(dict.fromkeys((folder, *folder.ancestors), len(folder.content.photos)))

    def _read(self, warn: Say) -> None:
        seen: set[tuple[int, int]] = set()
        level = [self.top]
        for _ in range(_DEPTH + 1):
            below: list[Folder] = []
            for folder in level:
                if len(self.named) == _MOST_FOLDERS:
                    warn(f"{self.top.path} has more than {_MOST_FOLDERS:,} folders; the deeper ones were not read. "
                         "Name a folder nearer to the photos: matlens data find DIR")
                    return
                # What is missing or may not be read holds nothing that could be found.
                if folder.identity is None or folder.identity in seen or folder.content.problem:
                    continue
                seen.add(folder.identity)
                self.named[folder] = _is_named(folder)
                if not self.named[folder]:
                    below += [inner for inner in folder.content.folders if not is_run(inner)]
            level = below

    def datasets(self, role: _Role = "searched", folder: Folder | None = None) -> list[Source]:
        """Return the datasets in a folder (by default in the place) and below.

        The subfolders of a folder whose photos lie deeper may be classes or datasets. They are classes if they hold
        folders of the same names (brick/dry, wood/dry), unless the role says otherwise.
        """
        folder = folder or self.top
        if folder not in self.holding or folder not in self.named:
            return []
        if self.named[folder]:
            return _opened(folder)
        inside = [child for child in folder.content.folders if child in self.holding]
        below: _Role = "named" if role == "named" and len(inside) == 1 else "searched"
        inner = [[] if self._is_class(child) else self.datasets(below, child) for child in inside]
        deeper = [source for sources in inner for source in sources]
        if len(inside) < 2:
            return deeper
        if all(map(self._is_class, inside)) or (role != "container" and _are_classes(inside, inner)):
            return _opened(folder) or deeper
        return [*(_opened(folder) if role == "named" else []), *deeper]


    def _is_class(self, folder: Folder) -> bool:
        """Return whether photos lie in a folder directly, and not just a few beside folders of photos."""
        direct = len(folder.content.photos)
        several = sum(inner in self.holding for inner in folder.content.folders) > 1
        return bool(direct) and not self.named.get(folder) and not (several and self.holding[folder] > 2 * direct)


def _are_classes(inside: Sequence[Folder], inner: Sequence[Sequence[Source]]) -> bool:
    """Return whether subfolders are classes, and none is a dataset. inner: the datasets that each could be or hold."""
    names = [set(sources[0].class_names) for sources in inner if sources]
    lie_at_once = all(len(sources) == 1 and sources[0].root == Path(child.path) and sources[0].layout == "folders"
                      for child, sources in zip(inside, inner, strict=True) if sources)
    return not names or (lie_at_once and len(names) > 1 and bool(set.intersection(*names)))


def _is_named(folder: Folder) -> bool:
    try:
        return layout_by_names(folder) is not None
    except DataError:
        return False


def _opened(folder: Folder) -> list[Source]:
    try:
        return [source_in(folder)]
    except DataError:
        return []
