"""The main job on several splits, `minc:all` or `kfold:K`: a run for each, then means and standard deviations."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

from matlens.comparison.choice import ChosenOn, as_share
from matlens.comparison.literature import published_beside
from matlens.comparison.series import SeriesComparison
from matlens.comparison.table import Comparison, compare
from matlens.data.source.sources import open_source
from matlens.data.split.protocols import listed_by_protocol, splits_of_series
from matlens.errors import ResultsError, SettingsError, WorkerError
from matlens.evaluation.results import Results
from matlens.jobs.run import judged_in, judged_models, predictions_in, run
from matlens.report.series_page import write_series_report
from matlens.runs.lock import alone_in
from matlens.runs.names import distinct_names
from matlens.runs.record import RunRecord
from matlens.runs.series import SeriesFolder, is_series_folder
from matlens.settings.schema import Settings
from matlens.system.console import Reporter


def run_series(settings: Settings, out: Path, reporter: Reporter) -> SeriesFolder:
    """Do the whole job on each split of `settings.protocol`. What an earlier start finished stays as it is.

    Raises:
        UsageError: before anything is trained, or for one of the splits.
        WorkerError: models failed; the others are finished, on all splits.
    """
    with alone_in(out):
        return _run_series_alone(settings, out, reporter)


def _run_series_alone(settings: Settings, out: Path, reporter: Reporter) -> SeriesFolder:
    started = time.perf_counter()
    source, protocol = open_source(settings.data_dir), settings.protocol or ""
    splits = splits_of_series(protocol, source)
    for split in splits:
        listed_by_protocol(source, split)  # raises what is wrong with the lists of any split, before the first run
    series = SeriesFolder.create(out, protocol, splits)
    failures, comparison = [], None
    for number, (name, split) in enumerate(series.splits.items(), 1):
        reporter.say(f"\n{split} ({number} of {len(splits)}): {out / name}", style="bold")
        try:
            run(settings.model_copy(update={"protocol": split}), out / name, reporter)
        except WorkerError as error:
            reporter.warn(f"{split}: {error}")
            failures.append(split)
        comparison = summarise_series(series)
    reporter.say("")
    for row in comparison.rows if comparison else ():
        reporter.say(f"  {row.model:<22} {row.accuracy} accuracy over {len(row.splits)} splits")
    reporter.result(f"report: {out / 'report.html'}  ({time.perf_counter() - started:.0f} s)")
    if failures:
        raise WorkerError(f"Models failed on {len(failures)} of {len(splits)} splits ({', '.join(failures)}). Mend it, "
                          "then go on with the same command: what is finished stays.")
    return series


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
                            f"the series: matlens compare {paths[0]}/RUN")
    if not all(map(is_series_folder, paths)):
        raise ResultsError("A series and a single run cannot be put side by side: a mean over splits is not the "
                           "accuracy on one. Name series only, or the runs inside of the series.")
    all_series = [SeriesFolder.open(path) for path in paths]
    results_of = [_results_by_split(series) for series in all_series]
    comparisons = [SeriesComparison.of(series.protocol, by_split)
                   for series, by_split in zip(all_series, results_of, strict=True)]
    if len({comparison.protocol for comparison in comparisons}) > 1:
        raise ResultsError("These series have other splits each and cannot be compared: " + ", ".join(
            f"{path} {comparison.protocol}" for path, comparison in zip(paths, comparisons, strict=True)))
    names = distinct_names(paths)
    rows = [dataclasses.replace(row, model=f"{names[path]}/{row.model}" if len(names) > 1 else row.model)
            for path, comparison in zip(paths, comparisons, strict=True) if path in names for row in comparison.rows]
    published = (published_beside(judged for by_split in results_of for results in by_split.values()
                                  for judged in results) if literature else ())
    return SeriesComparison(comparisons[0].protocol,
                            tuple(sorted(rows, key=lambda row: (-row.accuracy.mean, row.model))), published)


def summarise_series(series: SeriesFolder) -> SeriesComparison | None:
    """Write the tables and the page of a series. Returns None if no model has results yet."""
    results = _results_by_split(series)
    if not any(results.values()):
        return None
    comparison = SeriesComparison.of(series.protocol, results)
    comparison.write(series.reports)
    write_series_report(series, comparison)
    return comparison


def _results_by_split(series: SeriesFolder) -> dict[str, list[Results]]:
    """Read the results of each split, by its protocol."""
    records = series.records()
    return {split: judged_in(records[split]) if split in records else [] for split in series.splits.values()}
