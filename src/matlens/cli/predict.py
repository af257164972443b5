"""`matlens predict`: what photos show."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matlens.cli.frame.places import photo_place, refuse_without_photos, run_folder

if TYPE_CHECKING:
    from matlens.features.artifact import Artifact
    from matlens.jobs.answers import AnswerOptions
    from matlens.jobs.predict import AskedPhotos
    from matlens.settings.addresses import Address


def predict(run: Annotated[Path, typer.Argument(
                help="A run's folder (last is the newest), or an .artifact folder. More of them may follow.",
                metavar="RUN", parser=run_folder, show_default=False)],
            images: Annotated[list[Any] | None, typer.Argument(
                help="Photos, folders of photos, their addresses (s3://, https://), ZIPs, and patterns such as "
                "'photos/*.jpg'; - takes paths from standard input, a line each.", metavar="PHOTOS",
                parser=photo_place, show_default=False)] = None,
            top: Annotated[int, typer.Option("--top", min=1, help="Print so many classes for each photo, the likeliest "
                                             "first.")] = 1,
            model: Annotated[str | None, typer.Option(help="The model of the run that predicts.",
                                                      show_default="the one with the best validation accuracy")] = None,
            int8: Annotated[bool, typer.Option("--int8", help="Use the INT8 version that matlens export --int8 made.")]
            = False,
            json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each photo, with all "
                                               "probabilities.")] = False,
            raw: Annotated[bool, typer.Option("--raw", help="Print the network's own probabilities, without the "
                                              "calibration that its evaluation chose.")] = False,
            false_alarms: Annotated[float | None, typer.Option(
                help="Percentage of photos like the validation photos that may be called unknown.",
                show_default="5")] = None,
            coverage: Annotated[float | None, typer.Option(
                help="Also print the classes that a photo may well be of: the true one is among them for this "
                "percentage of photos.", show_default="90, with --json")] = None,
            by_class: Annotated[bool, typer.Option("--by-class", help="Let --coverage hold for the photos of each "
                                                   "class, not for all together.")] = False,
            csv: Annotated[Path | None, typer.Option(
                "--csv", help="Write a table with a row for each photo and all probabilities. The same command goes on "
                "with it where it was stopped.", metavar="FILE", show_default=False)] = None,
            submission: Annotated[Path | None, typer.Option(
                "--submission", help="Write two columns for Kaggle: id, the photo's file name, and label, its class.",
                metavar="FILE", show_default=False)] = None,
            ) -> None:
    """Say what photos show: one line a photo with path, class and probability.

    A line ends in "probably none of these materials" where a photo is unlike those that the model was trained on. Of
    several runs, each line ends in the run that answers.

    A photo that cannot be read is named on standard error, the others are predicted, and the command exits with 2.
    With --csv or --submission nothing but progress is printed.
    """
    import sys

    from matlens.errors import SettingsError
    from matlens.jobs.answers import AnswerOptions, what_is_not_told
    from matlens.jobs.predict import predict_files, predicting_artifact
    from matlens.jobs.predicting.stream import asked_in_turn, together
    from matlens.runs.names import distinct_names
    from matlens.system.console import echo, remark

    question = AnswerOptions.in_percent(raw=raw, false_alarms=false_alarms, coverage=coverage, by_class=by_class)
    with_sets = coverage is not None or by_class
    runs, photos = [run], images or []
    while photos and (more := _also_run(photos[0])) is not None:
        runs.append(more)
        photos = photos[1:]
    refuse_without_photos("predict", runs, photos)
    to_files = csv is not None or submission is not None
    if to_files and json:
        raise SettingsError("--json prints objects, and --csv and --submission write files. Give one of them.")
    if csv is not None and submission is not None and csv.absolute() == submission.absolute():
        raise SettingsError(f"--csv and --submission both name {csv}. Name two files.")
    if to_files and len(set(runs)) > 1:
        raise SettingsError("--csv and --submission hold the answers of one model. Name one run.")
    artifacts = {place: predicting_artifact(place, model, int8=int8) for place in dict.fromkeys(runs)}
    in_turn: Iterable[AskedPhotos] = asked_in_turn(photos, sys.stdin.buffer)
    if to_files or len(artifacts) > 1:  # else what comes on standard input is answered as it comes
        in_turn = [together(in_turn)]
    names, failed, answered, others = distinct_names(artifacts), 0, 0, 0
    for number, (place, artifact) in enumerate(artifacts.items()):
        if artifact.unconfirmed:
            remark(f"warning: {artifact.remark}")
        of_run = names.get(place, str(place)) if len(artifacts) > 1 else None
        for asked in in_turn:
            others += 0 if number else asked.others
            if to_files:
                failed += _into_files(artifact, asked, csv, submission, question)
                answered += 1
                continue
            for line, is_error in predict_files(artifact, asked, as_json=json, top=top, of_run=of_run,
                                                question=question, with_sets=with_sets):
                if not (is_error and number):  # what cannot be read is said once
                    if is_error and not json:
                        remark(line)
                    else:
                        echo(line, err=is_error)
                    failed += is_error
                answered += not is_error
        if not answered:
            continue
        if not json and not raw and artifact.calibrator:
            remark(f"calibrated by {artifact.calibrator.title}; --raw prints the network's own probabilities")
        if reason := what_is_not_told(artifact, question):
            remark(reason)
    if others:
        remark(f"passed over: {others} files that are no photos by their names" if others > 1 else
               "passed over: 1 file that is no photo by its name")
    if failed:
        raise typer.Exit(2)


def _into_files(artifact: Artifact, asked: AskedPhotos, csv: Path | None, submission: Path | None,
                question: AnswerOptions) -> int:
    """Write answers into files. Returns how many photos are left out since they cannot be read."""
    from matlens.jobs.predicting.files import FilesToWrite, write_answers
    from matlens.system.console import Reporter

    reporter = Reporter()
    written = write_answers(artifact, asked, FilesToWrite(csv, submission), question, reporter)
    reporter.say(f"photos answered: {written.answered:,} ({written.before:,} of them before), left out: "
                 f"{written.left_out:,}")
    return written.left_out


def _also_run(given: Path | Address) -> Path | None:
    """Return the folder of a run or an artifact that stands among the photos; None where it is none."""
    from matlens.runs.places import is_run

    if not isinstance(given, Path):
        return None
    folder = run_folder(str(given))
    return folder if is_run(folder) else None
