"""The main job as a series: a run for each split of `minc:all` or `kfold:K`, or for each seed of `--seeds N`.

Means, deviations and intervals of the methods follow. All runs share decoded photos and features through the cache.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from matlens.comparison.choice import ChosenOn, as_share
from matlens.comparison.literature import published_beside
from matlens.comparison.methods import JudgedMethod
from matlens.comparison.series import SeriesComparison
from matlens.comparison.table import Comparison, compare
from matlens.data.remote.bring import with_photos_here
from matlens.data.source.sources import open_source, refuse_among_photos
from matlens.data.split.protocols import default_protocol, listed_by_protocol, splits_of_series
from matlens.data.split.splits import Split
from matlens.errors import ResultsError, SettingsError, UsageError, WorkerError
from matlens.evaluation.results import Results
from matlens.jobs.closing import report_line
from matlens.jobs.run import judged_in, judged_models, predictions_in, run, saved_predictions
from matlens.report.series_page import write_series_report
from matlens.runs.lock import alone_in
from matlens.runs.names import distinct_names
from matlens.runs.paths import RunPaths
from matlens.runs.record import RunRecord
from matlens.runs.run import refuse_if_foreign, with_its_batch
from matlens.runs.series import SeriesFolder, is_series_folder
from matlens.settings.schema import Settings
from matlens.system.console import Reporter, command


def run_series(settings: Settings, out: Path, reporter: Reporter) -> SeriesFolder:
    """Do the whole job on each split of `settings.protocol`, or on one split with each of `settings.seeds` seeds.

    What an earlier start finished stays as it is. More seeds than an earlier start had go on with its series.

    Raises:
        UsageError: before anything is trained, or for one of the runs.
        WorkerError: models failed; the others are finished, in all runs.
    """
    with alone_in(out):
        return _run_series_alone(settings, out, reporter)


def _run_series_alone(settings: Settings, out: Path, reporter: Reporter) -> SeriesFolder:
    started = time.perf_counter()
    settings = with_photos_here(settings, reporter)
    series = series_of(settings, out)
    refuse_other_settings(series, settings)
    series.create()
    failures, comparison = [], None
    runs = series.runs_by_folder
    for number, (folder, name) in enumerate(runs.items(), 1):
        reporter.say(f"\n{name} ({number} of {len(runs)}): {out / folder}", style="bold")
        try:
            run(series.settings_of(folder, settings), out / folder, reporter, hash_of_seeds(series))
        except UsageError:
            series.withdraw_if_empty()
            raise
        except WorkerError as error:
            reporter.warn(f"{name}: {error}")
            failures.append(name)
        comparison = summarise_series(series, whole=number == len(runs))
    reporter.say("")
    for line in comparison.lines() if comparison else ():
        reporter.say(line)
    reporter.result(report_line(out, time.perf_counter() - started))
    raise_failed_runs(series, failures)
    return series


def raise_failed_runs(series: SeriesFolder, failures: Sequence[str]) -> None:
    """Raise WorkerError where models failed. failures: the names of the runs in which they did."""
    if failures:
        what = "seeds" if series.seeds else "splits"
        raise WorkerError(f"Models failed on {len(failures)} of {len(series.runs_by_folder)} {what} "
                          f"({', '.join(failures)}). Fix the problem and run the same command again; finished models "
                          "are kept.")


def series_of(settings: Settings, out: Path) -> SeriesFolder:
    """Name the runs that settings ask for, and raise what is wrong with any of their splits before the first run."""
    source = open_source(settings.data_dir)
    refuse_among_photos(out, source)
    protocol = settings.protocol or default_protocol(source, settings.groups)
    if settings.seeds is not None and settings.seeds > 1:
        listed_by_protocol(source, protocol)
        return SeriesFolder.of_seeds(out, protocol, settings.seed, settings.seeds)
    splits = splits_of_series(protocol, source)
    for split in splits:
        listed_by_protocol(source, split)
    return SeriesFolder.of_splits(out, protocol, splits)


def refuse_other_settings(series: SeriesFolder, settings: Settings) -> None:
    """Raise RunError, before the series is written, where one of its runs was begun with other settings."""
    series.refuse_if_foreign()
    root = open_source(settings.data_dir).root.resolve()
    settings = settings.model_copy(update={"data_dir": root})  # as a run records it
    for folder in series.runs_by_folder:
        place = series.path / folder
        refuse_if_foreign(place, with_its_batch(place, series.settings_of(folder, settings)), root)


def hash_of_seeds(series: SeriesFolder) -> str | None:
    """Return the hash of the split that the seeds share, once a run of them has made it."""
    return next((record.split_hash for record in series.records().values()), None) if series.seeds else None


def compare_folders(paths: Sequence[Path], *, literature: bool = False, margin: float | None = None,
                    choose_on: ChosenOn | None = None) -> Comparison | SeriesComparison:
    """Compare the models of runs, or of series; with `literature`, add published results on MINC-2500.

    Args:
        margin: a difference of accuracy, in points, that does not matter; choose_on: the part that says which model is
            the best. By default what the first run was asked for. Both are of runs, not of series.

    Raises:
        ResultsError: runs together with series, or series of different splits.
        SettingsError: a margin, or a part to choose on, for series.
    """
    if not any(map(is_series_folder, paths)):
        records = [RunRecord.read(path) for path in paths]
        results = judged_models(records)
        settings = records[0].settings
        return compare(results, published_beside(results) if literature else (), predictions_in(records),
                       margin=as_share(settings.margin if margin is None else margin),
                       choose_on=choose_on or settings.choose_on or "test", validation=predictions_in(records, "val"))
    if margin is not None or choose_on is not None:
        raise SettingsError("--margin and --choose-on are for the models of runs on one split. Name the runs inside of "
                            f"the series: {command('compare', paths[0] / 'RUN')}")
    if not all(map(is_series_folder, paths)):
        raise ResultsError("A series and a single run cannot be put side by side: a mean over runs is not the "
                           "accuracy of one. Name series only, or the runs inside of the series.")
    names = distinct_names(paths)  # what is given twice is named once
    all_series = [SeriesFolder.open(path) for path in dict.fromkeys(paths) if path in names]
    if len({(series.protocol, bool(series.seeds)) for series in all_series}) > 1:
        raise ResultsError("These series have other splits each and cannot be compared: " + ", ".join(
            f"{series.path} {series.protocol}{' with several seeds' * bool(series.seeds)}" for series in all_series))
    methods: list[JudgedMethod] = []
    for series in all_series:
        if not (judged := methods_of(series, f"{names[series.path]}/" * (len(names) > 1))):
            raise ResultsError(f"{series.path} holds no results yet. The matlens run that began it goes on from here.")
        methods += judged
    published = published_beside(result for method in methods for result in method.results.values()
                                 ) if literature else ()
    return SeriesComparison.of("seeds" if all_series[0].seeds else "splits", all_series[0].protocol, methods, published)


def summarise_series(series: SeriesFolder, *, whole: bool = True) -> SeriesComparison | None:
    """Write the tables and the page of a series. Returns None if no model has results yet.

    whole: whether its runs are done; until then the intervals and tests of seeds, which take seconds, are left out.
    """
    if not (methods := methods_of(series)):
        return None
    pending = ("Not all seeds are trained yet: intervals and tests follow with the last one. Of those that are, "
               f"they are shown by: {command('compare', series.path)}")
    comparison = SeriesComparison.of("seeds" if series.seeds else "splits", series.protocol, methods,
                                     pending=pending if series.seeds and not whole else "")
    comparison.write(series.reports)
    write_series_report(series, comparison)
    return comparison


def methods_of(series: SeriesFolder, before_name: str = "") -> list[JudgedMethod]:
    """Gather the models that a series has judged, in the order in which its runs name them."""
    records = series.records()
    results: dict[str, dict[str, Results]] = {}
    for name, record in records.items():
        for judged in judged_in(record):
            results.setdefault(judged.model_name, {})[name] = judged
    test_per_train = _test_per_train(series)
    return [JudgedMethod(before_name + model, by_run,
                         {name: saved_predictions(records[name], model) for name in by_run},
                         tuple(name for name in series.runs_by_folder.values() if name not in by_run), test_per_train)
            for model, by_run in results.items()]


def _test_per_train(series: SeriesFolder) -> float:
    """Return the number of test photos for each training photo on the first of the splits; 0 where none was made."""
    for record in series.records().values():
        split = Split.read(RunPaths(record.path).split_file)
        return len(split.part("test")) / max(len(split.part("train")), 1)
    return 0.0
