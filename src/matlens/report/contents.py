"""What a run left on disk, as far as its page needs it; what is missing or damaged is named, and hides nothing else."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.errors import ResultsError
from matlens.evaluation.part_predictions import with_photos
from matlens.evaluation.results import Results
from matlens.models.registry import file_stem
from matlens.runs.paths import RunPaths
from matlens.system.files import read_json
from matlens.system.untrusted import UNREADABLE, reason_of

_RESULTS = "_results.json"


@dataclass(frozen=True)
class Missing:
    """A model that was asked for and has no results. why: a sentence, with the way out."""

    model: str
    why: str


@dataclass(frozen=True)
class Contents:
    """run.json and split.json (empty where they cannot be read), the judged models, and those that are missing."""

    run: Mapping[str, Any]
    split: Mapping[str, Any]
    results: tuple[Results, ...]
    missing: tuple[Missing, ...]


def read_contents(run_dir: Path, problems: list[str]) -> Contents:
    """Read a run's folder; sentences on what is missing or damaged are added to `problems`."""
    run, split = (read_object(run_dir / name, problems) for name in ("run.json", "split.json"))
    asked = [str(name) for name in run.get("models") or ()]
    results = _read_results(run_dir, asked, problems)
    judged, failures = {model.model_name for model in results}, mapping(run.get("failures"))
    missing = tuple(Missing(name, _why(run_dir, name, failures)) for name in asked if name not in judged)
    problems += [f"{model.model_name} was judged on another split than the one in split.json."
                 for model in results if model.split_hash != split.get("hash", model.split_hash)]
    return Contents(run, split, results, missing)


def photo_counts(split: Mapping[str, Any]) -> Counter[tuple[str, str]]:
    """Count a split's photos by class and part, from what split.json holds of them: each photo, or the numbers."""
    photos, counts = split.get("photos"), mapping(split.get("counts"))
    if isinstance(photos, list):
        return Counter((str(photo.get("class")), str(photo.get("part"))) for photo in photos if isinstance(photo, dict))
    return Counter({(name, part): n for part, of_part in counts.items() for name, n in mapping(of_part).items()
                    if isinstance(n, int)})


def mapping(value: Any) -> dict[str, Any]:
    """Return a JSON object as it is, and anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def _why(run_dir: Path, name: str, failures: Mapping[str, Any]) -> str:
    if RunPaths(run_dir).training_file(name).exists():
        return (f"{name} was asked for and has no results: it is trained, but was not judged to the end. "
                "Judge it with: matlens evaluate RUN")
    if name in failures:
        return f"{name} was asked for and has no results. It failed: {failures[name]}"
    return (f"{name} was asked for and has no results: it was not trained to the end. The command that began the run "
            "goes on with it.")


def read_object(path: Path, problems: list[str]) -> dict[str, Any]:
    """Read a JSON object; an empty one, and a sentence more in `problems`, where there is none."""
    try:
        content = read_json(path)
        if isinstance(content, dict):
            return content
        problems.append(f"{path.name} is damaged: it holds no JSON object.")
    except FileNotFoundError:
        problems.append(f"{path.name} is missing.")
    except UNREADABLE as error:
        problems.append(f"{path.name} is damaged: {reason_of(error)}.")
    return {}


def _read_results(run_dir: Path, asked: Iterable[str], problems: list[str]) -> tuple[Results, ...]:
    """Read the results of the run's models, each under the name of the model that its file belongs to.

    asked: the models of the run. A file that belongs to none of them gives its own name.
    """
    name_of, judged = {file_stem(name): name for name in asked}, []
    for path in sorted((run_dir / "reports").glob(f"*{_RESULTS}")):
        try:
            stem = path.name.removesuffix(_RESULTS)
            judged.append(dataclasses.replace(Results.read(path), model_name=name_of.get(stem, stem)))
        except ResultsError as error:
            problems.append(str(error))
    return tuple(with_photos(judged, RunPaths(run_dir).split_file))
