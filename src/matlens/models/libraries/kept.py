"""What a library says of its networks, kept in the cache: to ask it means to import it, in a process of its own.

    <cache>/libraries/<library>-<key>/    said.json: what was said, by the versions of the library and what it runs on
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from matlens.errors import CacheError, ModelError
from matlens.system.caches import opened_or_made, whole_entry
from matlens.system.files import read_json, write_json
from matlens.system.ownership.places import default_cache_dir
from matlens.system.transport import Event, run_job
from matlens.system.untrusted import UNREADABLE

_FORMAT = 2
_FILE = "said.json"

Said = dict[str, Any]


class LibraryFacts:
    """What a library says, in answer to a job of its name, kept by the versions of its packages.

    packages: what must be installed. extra: of matlens, which installs them.
    """

    def __init__(self, library: str, packages: Sequence[str], extra: str) -> None:
        self._library, self._packages, self._extra = library, packages, extra
        self._known: dict[str, Said] = {}

    def of(self, subjects: Sequence[str], task: Callable[[tuple[str, ...]], object]) -> Mapping[str, Said]:
        """Return what is said of each subject; the job is asked for those that are in no cache, all at once.

        task: makes the job's task of the subjects that it shall tell of. It tells of `said`: `networks` by subject.

        Raises:
            ModelError: a package is not installed.
        """
        missing = [subject for subject in subjects if subject not in self._known]
        if missing:
            versions = self._versions()
            folders = {subject: self._folder(subject, versions) for subject in missing}
            opened = {subject: _opened(folder) for subject, folder in folders.items()}
            self._known.update({subject: said for subject, said in opened.items() if said is not None})
            if unsaid := tuple(subject for subject, said in opened.items() if said is None):
                self._ask(task(unsaid), folders)
        return {subject: self._known[subject] for subject in subjects}

    def kept(self, subject: str) -> Said | None:
        """Return what is said of a subject; None where nobody has asked yet. It asks nobody."""
        try:
            return self._known.get(subject) or _opened(self._folder(subject, self._versions()))
        except ModelError:
            return None

    def _versions(self) -> list[str]:
        absent = [package for package in self._packages if importlib.util.find_spec(package) is None]
        if absent:
            raise ModelError(f"The models of {self._library} need {' and '.join(absent)}, which "
                             f"{'is' if len(absent) == 1 else 'are'} not installed; install with: "
                             f"pip install 'matlens[{self._extra}]'")
        return [importlib.metadata.version(package) for package in self._packages]

    def _folder(self, subject: str, versions: list[str]) -> Path:
        key = hashlib.sha256(json.dumps([_FORMAT, self._library, versions, subject]).encode()).hexdigest()[:24]
        return default_cache_dir() / "libraries" / f"{self._library}-{key}"

    def _ask(self, task: object, folders: Mapping[str, Path]) -> None:
        """Keep each answer as it comes, so that one subject that ends the process costs none of those before it."""
        def hear(event: Event) -> None:
            if event["event"] == "said":
                for subject, said in event["networks"].items():
                    self._known[subject] = _keep(folders[subject], said)

        with tempfile.TemporaryDirectory(prefix="matlens-") as scratch:
            run_job(self._library, task, Path(scratch) / "log.txt", hear)


def _opened(folder: Path) -> Said | None:
    """Read what was said; None where it is not there or not whole."""
    try:
        said: Said = read_json(folder / _FILE)["said"]
        return said
    except UNREADABLE:
        return None


def _keep(folder: Path, said: Said) -> Said:
    """Keep what was said, and return it."""
    def make() -> None:
        with whole_entry(folder, "what a library says") as partial:
            write_json(partial / _FILE, {"format": _FORMAT, "said": said})

    with suppress(CacheError):  # of a cache that cannot be written: the library is asked again next time
        opened_or_made(folder, "what a library says", _opened, make)
    return said
