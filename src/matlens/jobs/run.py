"""The main job: data, training of each model, evaluation, explanation, comparison, report. Resumable."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.filesize import decimal

from matlens.comparison.displays import draw_differences
from matlens.comparison.row import between
from matlens.comparison.table import Comparison, compare
from matlens.data.prepare import Prepared, prepare
from matlens.data.source.sources import open_source
from matlens.errors import DataError, KilledError, MatlensError, ResultsError, WorkerError
from matlens.evaluation.judge import evaluate
from matlens.evaluation.label_quality import label_issues
from matlens.evaluation.material_groups import MaterialGroups, keep_groups
from matlens.evaluation.part_predictions import photos_to_predict
from matlens.evaluation.results import Results
from matlens.explanation.explain import explain_run
from matlens.models.registry import spec_of
from matlens.models.weights import FoundWeights, find_weights
from matlens.report.page import write_report
from matlens.runs.lock import alone_in
from matlens.runs.paths import RunPaths
from matlens.runs.record import is_trained, note_failures
from matlens.runs.run import Run, refuse_if_foreign, with_its_batch
from matlens.settings.schema import Settings
from matlens.system.batching import batch_bounds
from matlens.system.caches import prune
from matlens.system.child import run_child
from matlens.system.console import Reporter
from matlens.training.checkpoints import forget_states
from matlens.training.conversion import TrunkConversions
from matlens.training.frozen import FrozenTraining
from matlens.training.plan import plan
from matlens.training.progress import ChildListener
from matlens.training.tasks import TrainTask


@dataclasses.dataclass(frozen=True)
class Started:
    """A run whose photos are divided and decoded, with what its models begin from."""

    folder: Run
    prepared: Prepared
    weights: dict[str, FoundWeights]
    conversions: TrunkConversions


def start(settings: Settings, out: Path, reporter: Reporter, split_hash: str | None = None) -> Started:
    """Everything that can fail before training: weights, data, folder. Nothing is trained here.

    `out` must be had alone (`matlens.runs.lock`). split_hash: refuse photos that are divided otherwise.
    """
    source = open_source(settings.data_dir)
    root = source.root.resolve()
    settings = settings.model_copy(update={"data_dir": root})
    if settings.material_groups is not None:
        MaterialGroups.read(settings.material_groups, source.class_names)  # refused before anything is trained
    weights = _find_all_weights(settings, reporter)
    if not settings.cache_dir.is_absolute():
        settings = settings.model_copy(update={"cache_dir": settings.cache_dir.resolve()})
    settings = with_its_batch(out, settings)
    refuse_if_foreign(out, settings, root)
    paths = RunPaths(out)
    conversions = TrunkConversions(settings, {name: found.path for name, found in weights.items()
                                              if not is_trained(paths, name)}, len(source.class_names), reporter.say)
    prepared = prepare(settings, reporter)
    if split_hash not in (None, prepared.split.hash):
        raise DataError(f"The photos in {root}, or their division, are not those of the run that is to be repeated: "
                        "the hash of the split is another. Say where they are now with --data.")
    folder = Run.begin(out, settings, root, prepared.split)
    keep_groups(settings.material_groups, folder.path, prepared.split.class_names)
    return Started(folder, prepared, weights, conversions)


def run(settings: Settings, out: Path, reporter: Reporter, split_hash: str | None = None) -> Run:
    """Do the whole job; what an earlier start of the same run finished is not done again.

    Raises:
        UsageError: before anything is trained.
        WorkerError: a model failed; the others are finished, and the report shows them.
    """
    with alone_in(out):
        return _run_alone(settings, out, reporter, split_hash)


def _run_alone(settings: Settings, out: Path, reporter: Reporter, split_hash: str | None) -> Run:
    started = time.perf_counter()
    threading.Thread(target=_import_ahead, daemon=True, name="matlens-imports").start()
    begun = start(settings, out, reporter, split_hash)
    folder = begun.folder
    failures: dict[str, str] = {}
    for name in settings.models:
        try:
            train(begun, name, reporter)
            judge(folder, name, reporter)
        except MatlensError as error:
            failures[name] = str(error)
            reporter.warn(f"{name} failed: {error}")
    note_failures(folder.paths, failures, settings.models)
    keep_to_limit(folder.settings, reporter)
    comparison = summarise(folder)
    if comparison is not None:
        reporter.say("")
        for row in comparison.rows:
            reporter.say(f"  {row.model:<22} {between(row)} accuracy on {row.n_test} test photos")
        for sentence in comparison.sentences:
            reporter.say(f"  {sentence}")
        reporter.result(f"report: {folder.path / 'report.html'}  ({time.perf_counter() - started:.0f} s)")
    if failures:
        raise WorkerError(f"{len(failures)} of {len(settings.models)} models failed ({', '.join(failures)}). "
                          f"Mend it, then go on with the same command: what is finished stays.")
    return folder


def _import_ahead() -> None:
    """What judging will need takes two seconds to import: done while the trunks are being converted."""
    for name in ("sklearn.metrics", "scipy.optimize", "seaborn", "cleanlab.filter"):
        importlib.import_module(name)


def _find_all_weights(settings: Settings, reporter: Reporter) -> dict[str, FoundWeights]:
    """Before any training starts, so that nobody waits an hour to hear that a file is missing."""
    found = {}
    for name in settings.models:
        found[name] = find_weights(spec_of(name), settings.weights, settings.weights_dir,
                                   options=settings.options_of(name), side=settings.img_size[0])
        if found[name].remark and settings.weights == "auto":
            reporter.warn(f"{name}: {found[name].remark}")
    return found


def train(begun: Started, name: str, reporter: Reporter) -> None:
    """Train one model, unless that is done: on kept features of what is frozen, the rest in a process of its own."""
    folder, prepared, weights, title = begun.folder, begun.prepared, begun.weights[name], spec_of(name).title
    if folder.is_trained(name):
        reporter.say(f"{title}: already trained")
        forget_states(folder.paths, name)
        return
    settings = folder.settings
    planned = plan(settings, name, weights.path is not None)
    task = TrainTask(str(folder.path.resolve()), name, str(prepared.store.folder.resolve()),
                     str(weights.path.resolve()) if weights.path else None, cut=planned.cut)
    on_features = False
    if planned.keeps and weights.path is not None:
        frozen = FrozenTraining(folder, name, prepared, begun.conversions, planned, reporter)
        kept = frozen.keep_activations() if planned.cut else None
        if planned.head and (kept or not planned.cut):
            reporter.say(f"{title}: training the head on features of {weights.path.name}")
            trained = frozen.train_head()
            if not planned.cut:
                frozen.finish(trained, weights.path, _remarks(settings, weights, True))
                return
            task = dataclasses.replace(
                task, epochs_before=tuple(dataclasses.asdict(epoch) for epoch in trained.history))
        if kept:
            on_features = True
            task = dataclasses.replace(task, train_views=kept.train, val_view=kept.val, cut_layer=frozen.cut_layer(),
                                       seconds=frozen.clock.seconds)
    _train_in_child(folder, prepared, dataclasses.replace(task, remarks=_remarks(settings, weights, on_features)),
                    reporter)


def _train_in_child(folder: Run, prepared: Prepared, task: TrainTask, reporter: Reporter) -> None:
    settings, title = folder.settings, spec_of(task.model).title
    epochs = 0 if task.epochs_before else settings.epochs(task.model)
    if task.weights_file:
        epochs += settings.finetune_epochs
    views = settings.views if task.train_views and settings.recipe == "guide" else 1
    photos = len(prepared.split.part("train")) * views
    steps = len(batch_bounds(photos, settings.batch_size))
    reporter.say(f"{title}: training {epochs} epoch{'s' * (epochs > 1)} on {photos} photos"
                 + (f" from {Path(task.weights_file).name}" if task.weights_file else " from random weights")
                 + (f", from {task.cut_layer} on" if task.cut_layer else ""))
    with reporter.progress(title, steps * epochs) as advance:
        listener = ChildListener(folder, task, reporter, advance, steps)
        while True:
            try:
                run_child("train", dataclasses.asdict(task), folder.paths.log_file(task.model), listener.hear)
                return
            except KilledError as error:
                at_once = (listener.micro_batch or settings.batch_size) // 2
                if not settings.auto_batch or at_once == 0:
                    raise
                reporter.warn(f"{task.model}: {error}. With --batch-size auto it goes on, {at_once} photos at once.")
                listener.micro_batch = at_once
                task = dataclasses.replace(task, micro_batch=at_once)


def _remarks(settings: Settings, weights: FoundWeights, on_features: bool) -> tuple[str, ...]:
    """What a reader of the results must know."""
    remarks = [weights.remark] if weights.remark else []
    if settings.train_on == "train+val":
        remarks.append("trained on the validation photos, too, to the last epoch")
    if settings.recipe == "strong":
        remarks.append("recipe strong: probabilities are means over the photo and its mirror image")
    if on_features and settings.views > 1:
        remarks.append(f"trained on {settings.views} fixed views of each photo (view 0 as it is)")
    elif on_features or not settings.augment:
        remarks.append("trained without augmentation")
    return tuple(remarks)


def judge(folder: Run, name: str, reporter: Reporter) -> Results:
    """Evaluate and explain one trained model, unless that is done."""
    if folder.paths.results_file(name).exists() and folder.paths.picture(name, "gradcam").exists():
        try:
            return Results.read(folder.paths.results_file(name))
        except ResultsError as error:
            reporter.warn(f"{error}. That is done now.")
    with reporter.progress(f"{spec_of(name).title}: predicting", photos_to_predict(folder, name)) as advance:
        results = evaluate(folder, name, lambda done, _: advance(done, "")).results
    explain_run(folder, name)
    reporter.say(f"  test accuracy {results.accuracy:.1%}, macro F1 {results.macro_f1:.1%} "
                 f"({results.n_test} photos, {results.prediction_photos_per_second:.0f} photos/s)")
    return results


def summarise(folder: Run, *, svg: bool = False) -> Comparison | None:
    """Compare the models that were judged, list suspect labels, and write the report. None if there are none."""
    judged = judged_in(folder)
    if not judged:
        return None
    missing = sorted(set(folder.model_names) - {results.model_name for results in judged})
    comparison = compare(judged, predictions=predictions_in([folder]), unjudged=missing)
    comparison.write(folder.paths.reports)
    draw_differences(comparison, folder.paths.reports, svg=svg)
    folder.paths.label_issues_file.unlink(missing_ok=True)
    with contextlib.suppress(MatlensError):  # what is damaged must not hide the results: the page names what is missing
        label_issues([folder], [results.model_name for results in judged]).write(folder.paths.label_issues_file)
    write_report(folder.path, comparison=comparison)
    return comparison


def keep_to_limit(settings: Settings, reporter: Reporter) -> None:
    """Remove from the cache what was not used for longest, until it keeps to its limit; nothing that is in use."""
    limit = settings.cache_limit * 1e9
    pruned = prune(settings.cache_dir, limit)
    if pruned.removed:
        freed = decimal(sum(entry.size for entry in pruned.removed))
        reporter.say(f"cache: removed what was not used for longest ({len(pruned.removed)} of {settings.cache_dir}, "
                     f"{freed}) to keep to --cache-limit {settings.cache_limit:g}")
    if pruned.left > limit:
        reporter.warn(f"What runs are using in {settings.cache_dir} takes {decimal(pruned.left)}, more than "
                      f"--cache-limit {settings.cache_limit:g} GB allows. It stays until they end; then a run, or "
                      "matlens data store --prune, removes it.")


def judged_models(folders: Sequence[Run]) -> list[Results]:
    """The results of several runs; where a model is in more than one, its name tells the run.

    Raises:
        ResultsError: a run without results.
    """
    found = {folder.path: judged_in(folder) for folder in folders}
    for path, results in found.items():
        if not results:
            raise ResultsError(f"{path} holds no results yet. Make them with: matlens evaluate {path}")
    return [dataclasses.replace(each, model_name=_name_among(found, path, each.model_name))
            for path, results in found.items() for each in results]


def predictions_in(folders: Sequence[Run]) -> dict[str, Path]:
    """The files of predictions of several runs, by the names that `judged_models` gives."""
    paths = {folder.path for folder in folders}
    return {_name_among(paths, folder.path, name): folder.paths.predictions_file(name)
            for folder in folders for name in folder.model_names}


def _name_among(runs: Collection[Path], run: Path, model: str) -> str:
    """A model's name; where there are several runs, with its run's."""
    return model if len(runs) == 1 else f"{run.name}/{model}"


def judged_in(folder: Run) -> list[Results]:
    """The results of a run's models that were judged."""
    return [Results.read(folder.paths.results_file(name)) for name in folder.model_names
            if folder.paths.results_file(name).exists()]
