"""List the models that there are, with what is known of them; count their parameters and operations on request.

    <cache>/counts/<model>-<key>/counts.json   parameters and flops, under the versions of what builds the model
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from matlens.errors import MatlensError
from matlens.models.frameworks import FRAMEWORKS
from matlens.models.library import LIBRARIES, Catalogue, Library, ModelFacts, library_of
from matlens.models.registry import file_stem, spec_of
from matlens.models.spec import ModelSpec
from matlens.models.weights import find_local, first_local
from matlens.system.batching import batch_bounds
from matlens.system.caches import note_use, whole_entry
from matlens.system.files import read_json, write_json
from matlens.system.transport import Event, run_job
from matlens.system.untrusted import UNREADABLE
from matlens.workers.jobs.count import CountTask

_FORMAT = 1
_FILE = "counts.json"
_AT_ONCE = 8
"""Networks of a library that are looked at in one process, before progress is told."""
_SIDE = 224
"""Of the photos of a model that does not say what its weights were trained on."""


@dataclass(frozen=True)
class ListedModel:
    """A model in the list.

    side: of the photos, in pixels: that of the published weights, or what matlens takes where there are none.
    weights: the file of pretrained weights on this machine; None where there is none.
    licence: of the weights; "" where none is known.
    facts: what counting gave; None where nobody counted.
    refused: why it cannot be a model here, or could not be counted; "" where all is well.
    """

    name: str
    side: int = _SIDE
    weights: Path | None = None
    licence: str = ""
    facts: ModelFacts | None = None
    refused: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"name": self.name, "parameters": self.facts and self.facts.parameters,
                "flops": self.facts and self.facts.flops, "side": self.side,
                "weights": self.weights and str(self.weights), "licence": self.licence, "refused": self.refused}


def listed_models(names: Sequence[str], weights_dir: Path | None, cache_dir: Path) -> list[ListedModel]:
    """Look models up, in the order of their names, with what was counted of them before."""
    models = []
    for name in names:
        try:
            if (found := library_of(name)) is not None and found[0].catalogue is not None:
                models.append(_in_catalogue(name, *found, found[0].catalogue, weights_dir))
                continue
            spec = spec_of(name)
        except MatlensError as error:
            models.append(ListedModel(name, refused=str(error)))
            continue
        side = _side(spec)
        models.append(ListedModel(name, side, find_local(spec, weights_dir, {}, side), spec.licence,
                                  _counted(_entry(spec, cache_dir), side)))
    return models


def _in_catalogue(name: str, library: Library, inside: str, catalogue: Catalogue, weights_dir: Path | None,
                  ) -> ListedModel:
    """List a network without declaring it. inside: its name in the library. Raises ModelError."""
    assert library.framework is not None
    published = catalogue.published(inside)
    return ListedModel(name, published.side, first_local(published.files, FRAMEWORKS[library.framework], weights_dir),
                       published.licence, catalogue.counted(inside))


def count_models(models: Sequence[ListedModel], cache_dir: Path, advance: Callable[[str], None]) -> dict[str, str]:
    """Count the models of which nothing is known, each library's in one process, and keep what comes out.

    advance: called with the name of each model that is done.

    Returns the reasons of those that could not be counted, by name.
    Raises CacheError where it cannot be kept, WorkerError where a process ends badly.
    """
    sides_of: defaultdict[str, dict[str, int]] = defaultdict(dict)
    names_by_network: defaultdict[Catalogue, dict[str, str]] = defaultdict(dict)
    refused: dict[str, str] = {}
    for model in models:
        if model.facts is None and not model.refused:
            if (found := library_of(model.name)) is not None and found[0].catalogue is not None:
                names_by_network[found[0].catalogue][found[1]] = model.name
                continue
            library = _counting(spec_of(model.name))
            if library is None:
                refused[model.name] = "nothing counts the models of its framework"
            else:
                sides_of[library.name][model.name] = model.side

    def hear(event: Event) -> None:
        name = event["model"]
        if event["event"] == "refused":
            refused[name] = event["reason"]
        else:
            with whole_entry(_entry(spec_of(name), cache_dir), f"what was counted of {name}") as partial:
                write_json(partial / _FILE, {"format": _FORMAT, "model": name, "parameters": event["parameters"],
                                             "flops": event["flops"]})
        advance(name)

    for catalogue, names in names_by_network.items():
        networks = list(names)
        for start, end in batch_bounds(len(networks), _AT_ONCE):
            catalogue.look(networks[start:end])
            for network in networks[start:end]:
                advance(names[network])
    for of_library, sides in sides_of.items():
        (cache_dir / "counts").mkdir(parents=True, exist_ok=True)
        run_job("count", CountTask(of_library, sides), cache_dir / "counts" / f"{of_library}.log", hear)
    return refused


def _side(spec: ModelSpec) -> int:
    return spec.published_side or (min(spec.sizes[0]) if spec.sizes else _SIDE)


def _counting(spec: ModelSpec) -> Library | None:
    """Return what counts the models of a framework."""
    return next((library for library in LIBRARIES.entries() if library.facts and library.framework == spec.framework),
                None)


def _entry(spec: ModelSpec, cache_dir: Path) -> Path:
    """Name the entry of what was counted of a model: under the versions of the packages that build it."""
    library = _counting(spec)
    versions = {}
    for package in (*spec.of_framework.own_distributions, *([library.name] if library else [])):
        with suppress(PackageNotFoundError):  # then nothing can be counted, and nothing was
            versions[package] = version(package)
    key = hashlib.sha256(json.dumps([_FORMAT, spec.name, _side(spec), dict(spec.options), versions]).encode())
    return cache_dir / "counts" / f"{file_stem(spec.name)}-{key.hexdigest()[:24]}"


def _counted(entry: Path, side: int) -> ModelFacts | None:
    try:
        about = read_json(entry / _FILE)
        facts = ModelFacts(int(about["parameters"]), int(about["flops"]), (side, side))
    except UNREADABLE:
        return None
    note_use(entry)
    return facts
