"""Write the answers to photos into files: a table (`--csv`), and a submission for a contest of Kaggle's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from matlens.data.pixels.archives import PhotoPlace
from matlens.data.pixels.problems import Problem
from matlens.errors import DataError
from matlens.features.artifact import Artifact
from matlens.jobs.answers import AnswerOptions
from matlens.jobs.predict import AskedPhotos, error_line, why_unread
from matlens.jobs.predicting.answered import answered
from matlens.jobs.predicting.table import AnswerTable, answer_table, text_cell
from matlens.system.console import Reporter, echo
from matlens.system.files import csv_line, refuse_other_table, whole_file

SUBMISSION_COLUMNS = ("id", "label")


@dataclass(frozen=True)
class FilesToWrite:
    """Where answers go. table: a CSV that grows. submission: two columns, id (the file's name) and label (its class).
    """

    table: Path | None = None
    submission: Path | None = None


@dataclass(frozen=True)
class WrittenAnswers:
    """How many photos were answered, how many of these before, and how many are left out since they cannot be read."""

    answered: int
    before: int
    left_out: int


def write_answers(artifact: Artifact, asked: AskedPhotos, files: FilesToWrite, question: AnswerOptions,
                  reporter: Reporter) -> WrittenAnswers:
    """Answer photos, each once, and write files. What cannot be read is named on standard error and left out.

    Raises:
        DataError: the table is of another model; or two photos have one name, by which a submission names them.
        WriteError: a file cannot be written.
    """
    places = list(dict.fromkeys(asked.photos))
    if again := len(asked.photos) - len(places):
        reporter.say(f"photos that were named again, and are answered once: {again:,}")
    if files.table is not None:
        _refuse_alike(places)
    if files.submission is not None:
        refuse_ambiguous(places)
        refuse_other_table(files.submission, SUBMISSION_COLUMNS, "a submission", "Name another file with --submission.")
    for unlisted, reason in asked.unlisted:
        echo(error_line(unlisted, reason), err=True)
    left_out = len(asked.unlisted)
    labels: dict[PhotoPlace, str] = {}
    with ExitStack() as stack:
        table = stack.enter_context(answer_table(files.table, artifact, question)) if files.table else None
        missing = [place for place in places if not (table and table.has(place))]
        before = len(places) - len(missing)
        if before:
            reporter.say(f"answered in {files.table} already: {before:,} of {len(places):,} photos")
        done = 0
        with reporter.progress("photos", len(missing)) as advance:
            for batch in answered(artifact, missing, question):
                whole = [(place, answer) for place, answer in batch if not isinstance(answer, Problem)]
                for place, answer in batch:
                    if isinstance(answer, Problem):
                        echo(error_line(place, why_unread(place, answer)), err=True)
                if table is not None:
                    table.add(whole)
                elif files.submission is not None:
                    labels.update({place: answer["class"] for place, answer in whole})
                left_out += len(batch) - len(whole)
                advance(done := done + len(batch), "")
        if table is not None:
            _finish(table, places, reporter)
        if files.submission is not None:
            named = table.classes(places) if table is not None else labels.items()
            write_submission(files.submission, ((_name(place), label) for place, label in named))
            if left_out:
                reporter.warn(f"{files.submission} has no row for {left_out:,} photos that cannot be read. Kaggle "
                              "wants a row for each photo of its test part.")
    reporter.written(files.table, files.submission)
    return WrittenAnswers(before + done - left_out + len(asked.unlisted), before, left_out)


def _finish(table: AnswerTable, places: Sequence[PhotoPlace], reporter: Reporter) -> None:
    if others := table.put_in_order(places):
        reporter.say(f"rows of other photos, which stand last in {table.path}: {others:,}")


def _name(place: PhotoPlace) -> str:
    return place.name


def refuse_ambiguous(places: Iterable[PhotoPlace]) -> None:
    """Raise DataError where two photos have one file name, by which a submission names them."""
    if twice := _named_twice(places, _name):
        name, photos = next(iter(twice.items()))
        raise DataError(f"A submission names photos by their files' names, and {len(twice):,} names are those of "
                        f"several photos, such as {name}: {photos[0]} and {photos[1]}. Name the photos of one folder "
                        "alone, or write a table, which has whole paths, with --csv.")


def _refuse_alike(places: Iterable[PhotoPlace]) -> None:
    """Raise DataError where the paths of two photos are written alike in a table, since one has codes in its name."""
    if twice := _named_twice(places, lambda place: text_cell(str(place))):
        raise DataError(f"Two photos would both be {next(iter(twice))} in the table, where a code in a name, such as a "
                        "line break, is written as an escape. Rename one of them.")


def _named_twice(places: Iterable[PhotoPlace], name_of: Callable[[PhotoPlace], str]) -> dict[str, list[PhotoPlace]]:
    """Return the photos of each name that several have."""
    by_name: dict[str, list[PhotoPlace]] = defaultdict(list)
    for place in places:
        by_name[name_of(place)].append(place)
    return {name: photos for name, photos in by_name.items() if len(photos) > 1}


def write_submission(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    """Write (file name, class) as Kaggle wants them, whole or not at all. Names are as they are."""
    with whole_file(path) as partial, partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        file.writelines(_lines(rows))


def _lines(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield csv_line(SUBMISSION_COLUMNS)
    yield from map(csv_line, rows)
