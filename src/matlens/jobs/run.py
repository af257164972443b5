"""The main job: data, training of each model, evaluation, explanation, comparison, report. Resumable."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.filesize import decimal

from matlens.comparison.choice import as_share
from matlens.comparison.displays import draw_differences
from matlens.comparison.row import between
from matlens.comparison.table import Comparison, compare
from matlens.data.prepare import prepare, refuse_division
from matlens.data.remote.bring import tell_changes, with_photos_here
from matlens.data.source.sources import open_source, refuse_among_photos
from matlens.errors import DataError, MatlensError, ResultsError, WeightsError, WorkerError
from matlens.evaluation.judge import evaluate
from matlens.evaluation.label_quality import label_issues
from matlens.evaluation.material_groups import MaterialGroups, copy_groups
from matlens.evaluation.metrics.metric import percent
from matlens.evaluation.part_predictions import SavedPredictions, photos_to_predict, with_photos
from matlens.evaluation.results import Results
from matlens.explanation.explain import explain_run
from matlens.explanation.registry import DEFAULT_METHOD
from matlens.features.conversion import TrunkConversions
from matlens.features.precision.instructions import refuse_without_bfloat16
from matlens.jobs.closing import closing_lines, report_line
from matlens.jobs.judged import pass_on
from matlens.jobs.machine import refuse_device, refuse_too_large
from matlens.models.registry import spec_of
from matlens.models.weights import FoundWeights, all_missing, find_weights
from matlens.report.page import write_report
from matlens.runs.lock import alone_in
from matlens.runs.names import distinct_names
from matlens.runs.paths import RunPaths
from matlens.runs.record import RunRecord, is_trained, note_failures
from matlens.runs.run import Run, refuse_if_foreign, with_its_batch
from matlens.settings.corrections.setting import refuse_unknown_labels, write_corrections
from matlens.settings.schema import Settings
from matlens.settings.themes.imbalance import refuse_other_classes, write_class_weights
from matlens.system.caches import prune
from matlens.system.console import Reporter, command
from matlens.training.plan import refuse_no_probe, trunk_orders
from matlens.training.train import TrainingInputs, train


def start(settings: Settings, out: Path, reporter: Reporter, split_hash: str | None = None, *, convert: bool = True,
          ) -> TrainingInputs:
    """Begin a run, or go on with one: find weights, read and divide the photos, and make the folder.

    Everything that can fail before training fails here. The caller must hold the lock on `out` (`matlens.runs.lock`).

    Args:
        split_hash: refuse photos whose split has another hash.
        convert: begin to convert the models' trunks beside that; not where other processes train the models.

    Raises:
        UsageError: what is wrong, and the way out.
    """
    settings = with_photos_here(settings, reporter)
    source = open_source(settings.data_dir)
    refuse_among_photos(out, source)
    root = source.root.resolve()
    settings = settings.model_copy(update={"data_dir": root})
    if settings.material_groups is not None:
        MaterialGroups.read(settings.material_groups, source.class_names)  # refused before anything is trained
    refuse_other_classes(settings.class_weights, source.class_names)
    refuse_unknown_labels(settings.corrections, source.class_names)
    refuse_division(source, settings)
    if not settings.cache_dir.is_absolute():
        settings = settings.model_copy(update={"cache_dir": settings.cache_dir.resolve()})
    settings = with_its_batch(out, settings)
    refuse_if_foreign(out, settings, root)
    weights = _find_all_weights(settings, reporter)  # after what is wrong wherever the weights are
    paths = RunPaths(out)
    untrained = {model: start_from.path for model, start_from in weights.items() if not is_trained(paths, model)}
    for model, path in untrained.items():
        refuse_too_large(settings, model, path)
    refuse_device(settings.device, untrained)
    if untrained and settings.feature_precision == "bfloat16":
        refuse_without_bfloat16()
    orders = trunk_orders(settings, untrained, len(source.class_names)) if convert else ()
    conversions = TrunkConversions(orders, settings.cache_dir, reporter.say, reporter.warn)
    prepared = prepare(settings, reporter)
    if split_hash not in (None, prepared.split.hash):
        raise DataError(f"The photos in {root}, or their division, are not those of the run that is to be repeated or "
                        "of the series' other seeds: the hash of the split is another. Say where they are now with "
                        "--data.")
    run = Run.begin(out, settings, root, prepared.split)
    copy_groups(settings.material_groups, run.path, prepared.split.class_names)
    write_class_weights(settings.class_weights, run.path)
    write_corrections(settings.corrections, run.path)
    return TrainingInputs(run, prepared, weights, conversions)


def run(settings: Settings, out: Path, reporter: Reporter, split_hash: str | None = None) -> Run:
    """Do the whole job. What an earlier start of the same run finished stays as it is.

    Raises:
        UsageError: before anything is trained.
        WorkerError: a model failed; the others are finished, and the report shows them.
    """
    with alone_in(out):
        return _run_alone(settings, out, reporter, split_hash)


def _run_alone(settings: Settings, out: Path, reporter: Reporter, split_hash: str | None) -> Run:
    started = time.perf_counter()
    threading.Thread(target=_import_ahead, daemon=True, name="matlens-imports").start()
    inputs = start(settings, out, reporter, split_hash)
    run = inputs.run
    failures: dict[str, str] = {}
    for model in settings.models:
        try:
            train(inputs, model, reporter)
            judge(run, model, reporter)
        except MatlensError as error:
            failures[model] = str(error)
            reporter.warn(f"{model} failed: {error}")
    tell_changes(run.settings, reporter)
    if conclude(run, settings.models, failures, reporter):
        reporter.result(report_line(run.path, time.perf_counter() - started))
    raise_failures(failures, settings.models)
    return run


def conclude(run: Run, tried: Sequence[str], failures: Mapping[str, str], reporter: Reporter) -> bool:
    """Compare the models of a run that were trained, write the report, and say what came out.

    tried: the models that were to be trained now. failures: why some of them failed, by name.
    Returns whether any model of the run has results.
    """
    note_failures(run.paths, failures, tried)
    keep_to_limit(run.settings, reporter)
    comparison = summarise(run)
    if comparison is None:
        return False
    reporter.say("")
    width = max(len(row.model) for row in comparison.rows)
    for row in comparison.rows:
        reporter.say(f"  {row.model:<{width}}  {between(row)} accuracy on {row.tested}")
    for sentence in comparison.sentences:
        reporter.say(f"  {sentence}")
    reporter.say("")
    for line in closing_lines(run, comparison):
        reporter.say(line)
    return True


def raise_failures(failures: Mapping[str, str], models: Sequence[str]) -> None:
    """Raise WorkerError where models failed."""
    if failures:
        raise WorkerError(f"{len(failures)} of {len(models)} models failed ({', '.join(failures)}). "
                          "Fix the problem and run the same command again; finished models are kept. A command with "
                          "other settings needs a new folder (--out).")


def _import_ahead() -> None:
    """Import what evaluation needs, which takes two seconds, while the trunks are being converted."""
    for name in ("scipy.optimize", "scipy.special", "matplotlib.figure"):
        importlib.import_module(name)


def _find_all_weights(settings: Settings, reporter: Reporter) -> dict[str, FoundWeights]:
    """Find the weights of all models before any is trained: nobody waits an hour to hear that a file is missing."""
    weights, errors = {}, []
    for model in settings.models if settings.recipe == "probe" else ():
        refuse_no_probe(settings, spec_of(model))
    for model in settings.models:
        try:
            weights[model] = find_weights(spec_of(model), settings.weights, settings.weights_dir,
                                          options=settings.options_of(model), side=settings.img_size[0])
        except WeightsError as error:
            errors.append(error)
            continue
        if weights[model].remark and settings.weights == "auto":
            reporter.warn(f"{model}: {weights[model].remark}")
    if errors:
        raise all_missing(errors, settings.weights_dir)
    return weights


def judge(run: Run, model: str, reporter: Reporter) -> Results:
    """Evaluate and explain one trained model, unless that is done."""
    if run.paths.results_file(model).exists() and run.paths.picture(model, DEFAULT_METHOD).exists():
        try:
            return Results.read(run.paths.results_file(model))
        except ResultsError as error:
            reporter.warn(f"{error} matlens judges the model again.")
    with reporter.progress(f"{spec_of(model).title}: predicting", photos_to_predict(run, model)) as advance:
        evaluation = evaluate(run, model, lambda done, _: advance(done, ""))
    results = evaluation.results
    explain_run(run, model)
    # Headlines alone: the report has every metric.
    reporter.say(f"  test accuracy {percent(results.accuracy)}, macro F1 {percent(results.macro_f1)} "
                 f"({results.n_test} photos, {results.prediction_photos_per_second:.0f} photos/s)")
    pass_on(run, results, reporter, evaluation.learned)
    return results


def summarise(run: Run, *, svg: bool = False) -> Comparison | None:
    """Compare the models that have results, list suspect labels, and write the report. Returns None without results."""
    results = judged_in(run)
    if not results:
        return None
    models = [judged.model_name for judged in results]
    missing = sorted(set(run.model_names) - set(models))
    comparison = compare(results, predictions=predictions_in([run]), unjudged=missing,
                         margin=as_share(run.settings.margin), choose_on=run.settings.choose_on or "test",
                         validation=predictions_in([run], "val"))
    comparison.write(run.paths.reports)
    draw_differences(comparison, run.paths.reports, svg=svg)
    run.paths.label_issues_file.unlink(missing_ok=True)
    with contextlib.suppress(MatlensError):  # damaged files must not hide the results: the page names what is missing
        label_issues([run], models).write(run.paths.label_issues_file)
    write_report(run.path, comparison=comparison)
    return comparison


def keep_to_limit(settings: Settings, reporter: Reporter) -> None:
    """Remove the least recently used entries of the cache until it keeps to its limit; entries in use stay."""
    limit = settings.cache_limit * 1e9
    pruned = prune(settings.cache_dir, limit)
    if pruned.removed:
        freed = decimal(sum(entry.size for entry in pruned.removed))
        reporter.say(f"cache: removed the {len(pruned.removed)} least recently used items of {settings.cache_dir} ("
                     f"{freed}), to keep to --cache-limit {settings.cache_limit:g}")
    if pruned.left > limit:
        reporter.warn(f"What runs are using in {settings.cache_dir} takes {decimal(pruned.left)}, more than "
                      f"--cache-limit {settings.cache_limit:g} GB allows. It stays until they end; then a run removes "
                      f"it, or: {command('data', 'store', '--prune', '--cache-dir', settings.cache_dir)}")


def judged_models(runs: Sequence[RunRecord]) -> list[Results]:
    """Read the results of several runs; where there are several, each model's name has its run's before it.

    Raises:
        ResultsError: a run without results.
        RunError: a run without trained models.
    """
    names = distinct_names(run.path for run in runs)
    results_by_run = {run.path: judged_in(run) for run in runs if run.path in names}
    records = {run.path: run for run in runs}
    for path, results in results_by_run.items():
        if not results:
            records[path].trained_models()  # what is not trained cannot be evaluated either
            raise ResultsError(f"{path} holds no results yet. Make them with: {command('evaluate', path)}")
    return [dataclasses.replace(judged, model_name=_name_among(names, path, judged.model_name))
            for path, results in results_by_run.items() for judged in results]


def predictions_in(runs: Sequence[RunRecord], part: str = "test") -> dict[str, SavedPredictions]:
    """Name the files of predictions of a part in several runs, by the names that `judged_models` gives."""
    names = distinct_names(run.path for run in runs)
    return {_name_among(names, run.path, model): saved_predictions(run, model, part)
            for run in runs if run.path in names for model in run.model_names}


def saved_predictions(run: RunRecord, model: str, part: str = "test") -> SavedPredictions:
    """Name the file of a model's predictions of a part, and the split that says which photos these are."""
    return SavedPredictions(run.paths.predictions_file(model, part), run.paths.split_file, part)


def _name_among(runs: Mapping[Path, str], run: Path, model: str) -> str:
    return model if len(runs) == 1 else f"{runs[run]}/{model}"


def judged_in(run: RunRecord) -> list[Results]:
    """Read the results of those models of a run that have some."""
    return with_photos((Results.read(run.paths.results_file(model)) for model in run.model_names
                        if run.paths.results_file(model).exists()), run.paths.split_file)
