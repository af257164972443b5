"""Registries: a model, a metric, an explainer or a job is declared in one place, and found by its name.

What matlens brings along lies in the modules of a package, which are imported when a registry is first asked. Whoever
adds an entry of their own names its file in `MATLENS_PLUGINS`: modules, or Python files, separated as in PATH. Child
processes read that variable too, so they know the same entries.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from matlens.errors import MatlensError, SettingsError

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

    def __init__(self, kind: str, package: str, error: type[MatlensError] = SettingsError) -> None:
        """kind: what an entry is, for messages. package: whose modules register the entries that matlens brings."""
        self._kind, self._package, self._error = kind, package, error
        self._entries: dict[str, Entry] = {}
        self._is_loaded = False

    def register(self, entry: Entry) -> Entry:
        """Add an entry. Raises ValueError where its name is empty or taken."""
        if not entry.name or not entry.name.strip():
            raise ValueError(f"a {self._kind} has no name: {entry!r}")
        if _importing:  # so that it is the plug-in's entry, and not one of matlens, that comes second under a name
            self._load()
        if entry.name in self._entries:
            raise ValueError(f"the {self._kind} '{entry.name}' is registered twice")
        self._entries[entry.name] = entry
        return entry

    def __getitem__(self, name: str) -> Entry:
        """Look an entry up. Raises this registry's error, which names the known ones."""
        if name not in self._entries:
            self._load()
        if name not in self._entries:
            raise self._error(f"Unknown {self._kind} '{name}'. Choose from {', '.join(self)}.{self._hint()}")
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
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__, f"{self._package}."):
                importlib.import_module(module.name)
            load_plugins()
        except BaseException:
            self._is_loaded = False
            raise

    def _hint(self) -> str:
        return "" if os.environ.get(PLUGINS) else f" (Your own {self._kind}s are in files that {PLUGINS} names.)"


_loaded: set[str] = set()
_importing: list[str] = []


def load_plugins() -> None:
    """Import what MATLENS_PLUGINS names, each once. Raises SettingsError where that fails; it names the file."""
    for place in filter(None, os.environ.get(PLUGINS, "").split(os.pathsep)):
        if place in _loaded:
            continue
        _loaded.add(place)  # first, since a plug-in may ask a registry while it is imported
        _importing.append(place)
        try:
            _import(place)
        except Exception as error:
            _loaded.discard(place)
            raise SettingsError(f"{place}, which {PLUGINS} names, cannot be loaded ({type(error).__name__}: {error}). "
                                f"Mend it, or take it out of {PLUGINS}.") from error
        finally:
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
