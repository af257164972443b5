"""The command line's jobs as functions of Python: `matlens.run`, `matlens.predict` and `matlens.explain`.

Their options have the names that the command line's have, and their values show themselves in notebooks.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from matlens.comparison.row import between
from matlens.comparison.table import Comparison
from matlens.errors import SettingsError
from matlens.evaluation.metrics.metric import percent
from matlens.explanation.explain import explain_run
from matlens.explanation.registry import DEFAULT_METHOD
from matlens.explanation.request import Request, answer
from matlens.jobs.predict import AskedPhotos, predict_files, predicting_artifact
from matlens.jobs.run import run as run_job
from matlens.jobs.run import summarise
from matlens.runs.places import files_named, refuse_missing, run_folder
from matlens.runs.run import Run
from matlens.settings.addresses import Address, store_address_of
from matlens.settings.schema import Settings
from matlens.system.console import Reporter, command, html_table
from matlens.system.ownership.places import Place, expanded, new_run_folder
from matlens.system.untrusted import read_bounded

_LARGEST = 64 << 20
"""Bytes of a picture that a notebook shows."""


@dataclass(frozen=True)
class FinishedRun:
    """A run that is done. It can be given wherever a run's folder is asked for.

    path: its folder. comparison: its models, the best first.
    """

    path: Path
    comparison: Comparison

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    @property
    def report(self) -> Path:
        """Its page."""
        return self.path / "report.html"

    def __repr__(self) -> str:
        judged = ", ".join(f"{row.model} {percent(row.accuracy)}" for row in self.comparison.rows)
        return f"FinishedRun({str(self.path)!r}: {judged})"

    def _repr_html_(self) -> str:
        rows = [(row.model, between(row), percent(row.value("macro_f1"))) for row in self.comparison.rows]
        return html_table(("model", "test accuracy (95 % interval)", "macro F1"), rows, f"Report: {self.report}")


@dataclass(frozen=True)
class PhotoAnswer:
    """What a model says of a photo.

    class_name, probability: its answer; None, with the reason in `problem`, where the photo could not be read.
    probabilities: of all classes, by name.
    unknown: whether the photo is probably of none of the classes; None where the artifact does not tell.
    may_be: the classes that it may well be of (with 90 % coverage), the likeliest first; empty likewise.
    """

    path: str
    class_name: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict, repr=False)
    problem: str | None = None
    unknown: bool | None = None
    may_be: tuple[str, ...] = ()


@dataclass(frozen=True)
class PhotoAnswers(Sequence[PhotoAnswer]):
    """What a model says of photos, in the order in which they were asked for; a sequence of `PhotoAnswer`."""

    model: str
    answers: tuple[PhotoAnswer, ...]

    @overload
    def __getitem__(self, place: int) -> PhotoAnswer: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[PhotoAnswer]: ...
    def __getitem__(self, place: int | slice) -> PhotoAnswer | Sequence[PhotoAnswer]:
        return self.answers[place]

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[PhotoAnswer]:
        return iter(self.answers)

    def __repr__(self) -> str:
        first = ", ".join(f"{Path(answer.path).name}: {answer.class_name or 'cannot be read'}"
                          for answer in self.answers[:3])
        more = ", ..." if len(self) > 3 else ""
        return f"PhotoAnswers({self.model}, {len(self)} photo{'s' * (len(self) != 1)}: {first}{more})"

    def _repr_html_(self) -> str:
        rows = [(answer.path, answer.class_name or f"cannot be read: {answer.problem}",
                 "" if answer.probability is None else percent(answer.probability)) for answer in self.answers]
        return html_table(("photo", "class", "probability"), rows, self.model)


@dataclass(frozen=True)
class HeatMaps:
    """Pictures of heat maps that were written, which a notebook shows. remarks: answers, and models that have none."""

    paths: tuple[Path, ...]
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"HeatMaps({', '.join(map(str, self.paths))})"

    def _repr_html_(self) -> str:
        pictures = "".join(f'<img alt="heat maps: {path.stem}" style="max-width:100%" '
                           f'src="data:image/png;base64,{base64.b64encode(read_bounded(path, _LARGEST)).decode()}">'
                           for path in self.paths)
        return pictures + "".join(f"<p>{remark}</p>" for remark in self.remarks)


def run(data: Place, *, out: Place | None = None, models: str | Sequence[str] | None = None, quiet: bool = False,
        **settings: Any) -> FinishedRun:
    """Do the whole job, as `matlens run` does: train models on a folder of photos, judge, explain, compare and report.

    Args:
        data: the dataset: a folder of class folders, one that is divided into train/ val/ test/, or MINC-2500; or an
            address, such as "s3://bucket/photos", a manifest or tar shards.
        out: the run's folder; by default a new one under runs/. The same call goes on with an unfinished run.
        models: names of models; by default the guide's four.
        quiet: print nothing but the last lines.
        settings: those of a settings file, such as `max_epochs=4`, `img_size=160`, `recipe="probe"`,
            `weights="auto"`. `weights=None` means random weights, as "none" does.

    Raises:
        UsageError: before anything is trained.
        WorkerError: a model failed; the others are finished, and the report shows them.
    """
    if "weights" in settings and settings["weights"] is None:  # as the guide's functions and Keras say it
        settings["weights"] = "none"
    chosen = Settings.load(options={"data_dir": data, "models": models, **settings})
    if chosen.is_series:
        raise SettingsError("matlens.run does one run. For several splits or seeds, use the command line, such as: "
                            + command("run", "--data", chosen.data_address or data, "--seeds", chosen.seeds or 5))
    do = run_job if chosen.on is None else _run_on
    finished = do(chosen, new_run_folder() if out is None else expanded(out), Reporter(quiet))
    comparison = summarise(finished)
    assert comparison is not None  # a run without any result raised
    return FinishedRun(finished.path, comparison)


def _run_on(settings: Settings, out: Path, reporter: Reporter) -> Run:
    from matlens.jobs.cluster.run import run_on

    return run_on(settings, out, reporter)


def predict(run: Place, photos: Place | Sequence[Place], *, model: str | None = None) -> PhotoAnswers:
    """Say what photos show, as `matlens predict` does.

    Args:
        run: the folder of a run, or of an artifact; "last" is the newest run.
        photos: a photo, a folder of photos, an address of one, a pattern such as "photos/*.jpg", or several of these.
        model: a model of the run; by default the one with the best validation accuracy.

    Raises:
        RunError: the folder is of no run, or holds no trained model.
        ModelError: the model's artifact is missing or damaged.
    """
    artifact = predicting_artifact(run_folder(run), model)
    asked = AskedPhotos.of(place for named in _several(photos) for place in _places(named))
    said = (json.loads(line) for line, _ in predict_files(artifact, asked, as_json=True))
    return PhotoAnswers(artifact.model_name, tuple(PhotoAnswer(
        about["path"], about.get("class"), about.get("probability"), about.get("probabilities", {}),
        about.get("error"), about.get("unknown"), tuple(about.get("set") or ())) for about in said))


def explain(run: Place, photos: Place | Sequence[Place] = (), *, models: Sequence[str] | None = None,
            method: str = DEFAULT_METHOD, worst: int | None = None) -> HeatMaps:
    """Draw heat maps of what the models of a run looked at, as `matlens explain` does.

    Args:
        run: the folder of a run; "last" is the newest.
        photos: a photo, a pattern such as "photos/*.jpg", or several of these; by default test photos of the run.
        models: by default all that are trained.
        method: the name of an explanation method.
        worst: explain at most so many mistakes among the test photos, the most confident first.

    Raises:
        SettingsError: no such method, or both photos and `worst`.
        DataError or ResultsError: a photo, or a model's predictions, cannot be read.
        ModelError: no model can be explained; where others can, the result says why.
    """
    request = Request(tuple(files_named(_several(photos))), worst=worst, method=method)
    refuse_missing(request.images)
    opened = Run.open(run_folder(run))
    names = opened.trained_models(tuple(models) if models else None)
    if request.is_plain:
        return HeatMaps(tuple(explain_run(opened, name) for name in names))
    told: list[str] = []
    refused = answer(opened, names, request, told.append, lambda line: told.append(line.strip()))
    if refused and not told:
        raise refused[0]
    told += map(str, refused)
    pictures = [Path(line) for line in told if line.endswith(".png")]
    return HeatMaps(tuple(pictures), tuple(line for line in told if not line.endswith(".png")))


def _places(named: Place) -> Sequence[Path | Address]:
    """Return the photos that a word stands for. Raises SettingsError for an address that is none."""
    try:
        address = store_address_of(named)
    except ValueError as error:
        raise SettingsError(f"the address {error}.") from None
    return files_named([named]) if address is None else [address]


def _several(places: Place | Sequence[Place]) -> Sequence[Place]:
    return [places] if isinstance(places, str | os.PathLike) else list(places)
