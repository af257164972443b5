"""Predict the classes of single photos with the portable artifact."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.data.layout.listing import Unused, below
from matlens.data.layout.walk import has_photo_ending, rooted
from matlens.data.pixels.archives import BROKEN, PhotoPlace, ZippedPhoto, opening, photos_in_zip
from matlens.data.pixels.problems import Problem
from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.values import as_floats
from matlens.data.remote.photos import photos_at
from matlens.errors import ModelError
from matlens.features.artifact import Artifact
from matlens.jobs.answers import AS_USUAL, NONE_OF_THESE, AnswerOptions, answers_to
from matlens.runs.record import RunRecord
from matlens.runs.training_record import TrainingRecord
from matlens.settings.addresses import Address
from matlens.system.console import command, printable, remark
from matlens.system.files import checksum
from matlens.system.untrusted import in_short, reason_of
from matlens.workers.trained import trained_artifact


def predicting_artifact(run: Path, model: str | None = None, *, int8: bool = False) -> Artifact:
    """Open the artifact of a run's model, by default of the one with the best validation accuracy.

    Where it is marked, the model's framework computes its features; an artifact's own folder says of no framework.

    Args:
        run: the folder of a run, or of an artifact.
        int8: open the INT8 version.

    Raises:
        RunError: the folder is of no run, or holds no trained model.
        ModelError: the artifact is missing, damaged, or not in INT8.
    """
    if (run / "artifact.json").exists():
        artifact = Artifact.open(run)
        if int8 and artifact.precision != "int8":
            raise ModelError(f"{run} is a float32 artifact. With --int8, name the run's folder, or one that ends in "
                             ".int8.artifact.")
        return artifact
    record = RunRecord.read(run)

    def validation_accuracy(name: str) -> float:
        training = TrainingRecord.read(record, name)
        return training.history["val_accuracy"][training.best_epoch - 1]

    best = max(record.trained_models((model,) if model else None), key=validation_accuracy)
    return _int8_artifact(record, best) if int8 else trained_artifact(record, best)


def _int8_artifact(run: RunRecord, model: str) -> Artifact:
    folder, way_out = run.paths.int8_artifact(model), command("export", run.path, "--int8", "--models", model)
    if not folder.exists():
        raise ModelError(f"{folder} is not there. Make it with: {way_out}")
    artifact, float32 = Artifact.open(folder), Artifact.open(run.paths.artifact(model))
    # Both have the same head, unless the model was trained again.
    if checksum(artifact.folder / "head.npz") != checksum(float32.folder / "head.npz"):
        raise ModelError(f"{folder} was made of an earlier training of {model}. Make it again with: {way_out}")
    return artifact


@dataclass(frozen=True)
class AskedPhotos:
    """What paths stand for: photos, places that cannot be read with the reason, and how many files are no photos."""

    photos: tuple[PhotoPlace, ...]
    unlisted: tuple[tuple[Path | Address, str], ...] = ()
    others: int = 0

    @classmethod
    def of(cls, paths: Iterable[Path | Address]) -> AskedPhotos:
        """Take files as they are, whatever they are called; of folders the photos in them and their sub-folders, here
        and at addresses; and of a ZIP, by its name, the photos in it.
        """
        photos: list[PhotoPlace] = []
        unlisted: list[tuple[Path | Address, str]] = []
        others = 0
        for path in paths:
            if isinstance(path, Address):
                remote = photos_at(path, remark)
                if isinstance(remote, str):
                    unlisted.append((path, remote))
                else:
                    photos += remote
                continue
            if path.suffix.lower() == ".zip" and path.is_file():
                zipped = _zipped(path)
                if isinstance(zipped, str):
                    unlisted.append((path, zipped))
                else:
                    photos += zipped
                continue
            if not path.is_dir():
                photos.append(path)
                continue
            unused: list[Unused] = []
            folders = [folder for folder, _ in below(rooted(path), unused, str(path))]
            inside = [Path(folder.path, name) for folder in folders for name in folder.content.photos]
            others += sum(len(folder.content.others) for folder in folders)
            photos += sorted(inside)
            unlisted += [(Path(entry.path), entry.detail) for entry in unused if entry.kind == "folder"]
            special = [(Path(folder.path, name), what) for folder in folders for name, what in folder.content.special]
            pipes = [(place, what) for place, what in special if has_photo_ending(place.name)]
            others += len(special) - len(pipes)
            unlisted += pipes
            if not inside and not pipes:
                unlisted.append((path, "there is no photo in the folder"))
        return cls(tuple(photos), tuple(unlisted), others)


def _zipped(path: Path) -> list[ZippedPhoto] | str:
    """Return the photos of a ZIP, or why there are none."""
    try:
        return photos_in_zip(path) or "there is no photo in the ZIP, by the names of its files"
    except BROKEN as error:
        return f"it is no ZIP that is read here ({in_short(reason_of(error))})"


def predict_files(artifact: Artifact, asked: AskedPhotos, *, as_json: bool = False, top: int = 1,
                  of_run: str | None = None, question: AnswerOptions = AS_USUAL, with_sets: bool = False,
                  ) -> Iterator[tuple[str, bool]]:
    """Yield a line for each photo, and whether it is an error: the photo could not be read. The others are predicted.

    top: how many classes a line names, the likeliest first. of_run: is named where several runs answer.
    with_sets: lines have a column with the classes that the photo may well be of.
    """
    for place, reason in asked.unlisted:
        yield error_line(place, reason, as_json), True
    with opening(PhotoReader(artifact.img_size)) as opener:
        for file in asked.photos:
            photo = opener.attempt(file)
            if isinstance(photo, Problem):
                yield error_line(file, why_unread(file, photo), as_json), True
                continue
            answer = answers_to(artifact, as_floats(photo[None]), question)[0]
            chances: dict[str, float] = answer["probabilities"]
            likeliest = sorted(chances, key=lambda name: -chances[name])[:top]
            if as_json:
                yield _as_json({"path": str(file), **answer, **({"top": likeliest} if top > 1 else {}),
                                **({"run": of_run} if of_run else {})}), False
                continue
            unknown = NONE_OF_THESE if answer["unknown"] else ""
            words = [str(file), *(word for name in likeliest for word in (name, f"{chances[name]:.4f}")),
                     *(["|".join(answer["set"] or ())] if with_sets else []),
                     *([unknown] if unknown or of_run else []), *([of_run] if of_run else [])]
            yield "\t".join(map(printable, words)), False


def why_unread(place: PhotoPlace, problem: Problem) -> str:
    """Say why a photo cannot be read."""
    return _why_missing(place) if problem.kind == "missing" and isinstance(place, Path) else problem


def _why_missing(file: Path) -> str:
    """Say what was looked for in vain: a file, what fits a pattern, or an address, which is no file."""
    if re.match(r"(https?|file|s3|gs):/", str(file)):
        way_out = "Name the file as /folder/photo.jpg" if str(file)[:5] == "file:" else "Download it, and name the file"
        return f"addresses are not opened here. {way_out}"
    if set("*?[") & set(str(file)):
        return "no file fits this pattern"
    return f"there is no such file or folder in {file.absolute().parent}"


def error_line(path: PhotoPlace | Address, reason: str, as_json: bool = False) -> str:
    """Say in a line why a photo cannot be read."""
    return _as_json({"path": str(path), "error": reason}) if as_json else printable(
        f"error: cannot read {path}: {reason}")


def _as_json(content: dict[str, Any]) -> str:
    """Write JSON on one line, with escapes where a name holds codes that a terminal acts on."""
    line = json.dumps(content, ensure_ascii=False)
    return line if line.isprintable() else json.dumps(content)
