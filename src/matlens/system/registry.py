"""Registries: a model, a metric, an explainer or a job is declared in one place, and found by its name.

What matlens brings along lies in the modules of a package, which are imported when a registry is first asked. Whoever
adds an entry of their own names its file in `MATLENS_PLUGINS`: modules, or Python files, separated as in PATH. Child
processes read that variable too, so they know the same entries.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from matlens.errors import MatlensError, SettingsError
from matlens.system.console import shell_word

PLUGINS = "MATLENS_PLUGINS"

LAST = 100
"""The rank of entries that state none; those of lower rank come before them in lists."""


class Named(Protocol):
    """What a registry holds."""

    @property
    def name(self) -> str:
        """By which it is found."""


Entry = TypeVar("Entry", bound=Named)


class Registry(Generic[Entry]):
    """Entries by name, in the order of their `rank` (if they have one) and of their registration."""

    def __init__(self, kind: str, package: str, error: type[MatlensError] = SettingsError,
                 same: Callable[[str], str] = str, more: Sequence[str] = ()) -> None:
        """Make an empty registry.

        Args:
            kind: what an entry is, for messages.
            package: whose modules register the entries that matlens brings.
            same: of a name, what no two entries may share.
            more: packages whose modules register such entries too.
        """
        self._kind, self._packages, self._error, self._same = kind, (package, *more), error, same
        self._entries: dict[str, Entry] = {}
        self._is_loaded = self._is_importing = False

    def register(self, entry: Entry) -> Entry:
        """Add an entry. Raises ValueError where its name is empty or taken."""
        if not entry.name or not entry.name.strip():
            raise ValueError(f"a {self._kind} has no name: {entry!r}")
        if _importing:  # so that it is the plug-in's entry, and not one of matlens, that comes second under a name
            self._load()
        if entry.name in self._entries:
            raise ValueError(f"the {self._kind} '{entry.name}' is registered twice")
        if alike := [name for name in self._entries if self._same(name) == self._same(entry.name)]:
            raise ValueError(f"the {self._kind} '{entry.name}' would have the same files as '{alike[0]}'")
        self._entries[entry.name] = entry
        if _importing and not self._is_importing:
            _undo.append(functools.partial(self._entries.pop, entry.name))
        return entry

    def __getitem__(self, name: str) -> Entry:
        """Look an entry up. Raises this registry's error, which names the known ones."""
        if name not in self._entries:
            self._load()
        if name not in self._entries:
            raise self._error(f"Unknown {self._kind} '{name}'.{did_you_mean(name, self)} Choose from {', '.join(self)}."
                              f"{self.hint()}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names, in order."""
        return iter([entry.name for entry in self.entries()])

    def __len__(self) -> int:
        self._load()
        return len(self._entries)

    def entries(self) -> list[Entry]:
        """All entries, in order."""
        self._load()
        return sorted(self._entries.values(), key=lambda entry: getattr(entry, "rank", LAST))

    def _load(self) -> None:
        if self._is_loaded:
            return
        self._is_loaded = True  # first, since what is imported below may ask again
        try:
            self._import_package()
            load_plugins()
        except BaseException:
            self._is_loaded = False
            raise

    def _import_package(self) -> None:
        self._is_importing = True
        try:
            for name in self._packages:
                package = importlib.import_module(name)
                for module in pkgutil.iter_modules(package.__path__, f"{name}."):
                    importlib.import_module(module.name)
        finally:
            self._is_importing = False

    def hint(self) -> str:
        """Return a sentence for whoever misses an entry of a plug-in, where none is named; else nothing."""
        return "" if os.environ.get(PLUGINS) else f" (Your own {self._kind}s are in files that {PLUGINS} names.)"


_loaded: set[str] = set()
_importing: list[str] = []
_undo: list[Callable[[], object]] = []
"""What takes out again the entries of plug-ins that are being imported, the last one last."""


def load_plugins() -> None:
    """Import what MATLENS_PLUGINS names, each once. Raises SettingsError where that fails; it names the file.

    A file that fails leaves no entry behind, so that it can be imported again once it is mended.
    """
    for place in filter(None, os.environ.get(PLUGINS, "").split(os.pathsep)):
        if place in _loaded:
            continue
        _loaded.add(place)  # first, since a plug-in may ask a registry while it is imported
        _importing.append(place)
        earlier = len(_undo)
        try:
            _import(place)
        except BaseException as error:
            _loaded.discard(place)
            while len(_undo) > earlier:
                _undo.pop()()
            if not isinstance(error, Exception | SystemExit):
                raise
            raise SettingsError(f"{place}, which {PLUGINS} names, cannot be loaded ({type(error).__name__}: {error}). "
                                f"Fix it, or take it out of {PLUGINS}.") from error
        finally:
            del _undo[earlier:]
            _importing.remove(place)


def _import(place: str) -> None:
    """Import a Python file by its path, or a module by its name."""
    if not place.endswith(".py"):
        importlib.import_module(place)
        return
    path = Path(place).expanduser().resolve()
    name = f"matlens_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise


_MOST_NEAR = 3

_SHORTEST = 3
"""Letters of a name that others may hold by more than chance."""


def near(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that are nearest to a mistaken one, the nearest first, three at most; case is ignored.

    A name counts as near where it is spelled alike, or where one of the two holds the other.
    """
    wanted, by_folded = name.casefold(), {one.casefold(): one for one in known}
    alike = difflib.get_close_matches(wanted, by_folded, _MOST_NEAR, cutoff=0.7)
    holding = [folded for folded in by_folded if len(wanted) >= _SHORTEST and (wanted in folded or folded in wanted)]
    return [by_folded[folded] for folded in dict.fromkeys([*alike, *holding])][:_MOST_NEAR]


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return " Did you mean a or b?", or "" where nothing is near. prefix: is put before each name."""
    return _asked_for([f"{prefix}{one}" for one in near(name, known)])


def _asked_for(names: list[str]) -> str:
    return f" Did you mean {', '.join(names[:-1])}{' or ' * (len(names) > 1)}{names[-1]}?" if names else ""


def folders_near(missing: Path) -> str:
    """Return " Did you mean 'my photos'?" with the folders whose names are near one that is not there, or ""."""
    above = missing.parent
    try:
        names = [entry.name for entry in above.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:  # there is no such folder either, or it cannot be read: nothing is near
        names = []
    return _asked_for([shell_word(above / name) for name in near(missing.name, names)])
