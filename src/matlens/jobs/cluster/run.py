"""The main job on a cluster, once or as a series: the models of all its runs are trained and judged at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from matlens.data.remote.bring import tell_changes, with_photos_here
from matlens.data.source.sources import open_source, refuse_among_photos
from matlens.errors import UsageError
from matlens.jobs.closing import report_line
from matlens.jobs.cluster.tasks import ClusterTasks, cluster_tasks, shared_paths, with_whole_paths
from matlens.jobs.cluster.units import Outcome, Unit, do_units
from matlens.jobs.run import raise_failures
from matlens.jobs.series import hash_of_seeds, raise_failed_runs, refuse_other_settings, series_of
from matlens.jobs.tasks.begin import BeginTask
from matlens.jobs.tasks.conclude import ConcludeTask
from matlens.jobs.tasks.conclude_series import ConcludeSeriesTask
from matlens.jobs.tasks.model import ModelTask
from matlens.runs.lock import alone_in
from matlens.runs.paths import RunPaths
from matlens.runs.run import Run
from matlens.runs.series import SeriesFolder
from matlens.settings.schema import Settings
from matlens.system.cluster.nodes import SharedPath
from matlens.system.console import Reporter
from matlens.workers.telling import packed


def run_on(settings: Settings, out: Path, reporter: Reporter, split_hash: str | None = None) -> Run:
    """Do the whole job on the cluster `settings.on`; see `jobs.run.run`. Raises ClusterError, too."""
    settings = with_photos_here(settings, reporter)
    refuse_among_photos(out, open_source(settings.data_dir))
    sent, out = with_whole_paths(settings), out.absolute()
    with alone_in(out), cluster_tasks(settings, out, shared_paths(sent, SharedPath(out, "--out", True)),
                                      reporter) as cluster, ExitStack() as locks:
        member = _Member(sent, out, "", reporter, locks, cluster.log_file)
        do_units([member.begin(split_hash)], cluster.doer, reporter, cluster.title, len(settings.models))
    tell_changes(settings, reporter)
    raise_failures(member.failures, settings.models)
    return Run.open(out)


def series_on(settings: Settings, out: Path, reporter: Reporter) -> SeriesFolder:
    """Do a series on the cluster `settings.on`; see `jobs.series.run_series`. Raises ClusterError, too."""
    started, out = time.perf_counter(), out.absolute()
    settings = with_photos_here(settings, reporter)
    sent = with_whole_paths(settings)
    with alone_in(out):
        series = series_of(sent, out)
        refuse_other_settings(series, sent)
        with cluster_tasks(settings, out, shared_paths(sent, SharedPath(out, "--out", True)), reporter) as cluster:
            series.create()
            try:
                members = _do_members(series, sent, cluster, reporter)
            except UsageError:
                series.withdraw_if_empty()
                raise
            do_units([Unit("", "conclude_series", ConcludeSeriesTask(out), cluster.log_file, counts=True,
                           then=_raise_error)], cluster.doer, reporter, "comparing runs", 1)
    tell_changes(settings, reporter)
    reporter.result(report_line(out, time.perf_counter() - started))
    raise_failed_runs(series, [member.name for member in members if member.failures])
    return series


def _raise_error(outcome: Outcome) -> Iterable[Unit]:
    if outcome.error is not None:
        raise outcome.error
    return ()


def _do_members(series: SeriesFolder, settings: Settings, cluster: ClusterTasks, reporter: Reporter) -> list[_Member]:
    """Do all runs of a series. The first one decodes the photos, before the others begin."""
    with ExitStack() as locks:
        members = [_Member(series.settings_of(folder, settings), series.path / folder, name, reporter, locks,
                           cluster.log_file) for folder, name in series.runs_by_folder.items()]

        def others(split_hash: str) -> Iterable[Unit]:
            return [member.begin(split_hash if series.seeds else None) for member in members[1:]]

        members[0].on_begun = others
        do_units([members[0].begin(hash_of_seeds(series))], cluster.doer, reporter, cluster.title,
                 len(members) * len(settings.models))
    return members


@dataclass
class _Member:
    """A run on a cluster: it begins, then its models are trained at once, then it is concluded.

    name: in a series, what the run is. locks: those of the runs' folders are held in it. log_file: of what is not of
        one model.
    on_begun: returns the units that follow, besides the models, from the hash of the split.
    failures: why models failed, by name.
    """

    settings: Settings
    out: Path
    name: str
    reporter: Reporter
    locks: ExitStack
    log_file: Path
    on_begun: Callable[[str], Iterable[Unit]] = field(default=lambda split_hash: ())
    failures: dict[str, str] = field(default_factory=dict)
    _left: int = 0
    _begun: str = ""
    _started: float = 0.0

    def begin(self, split_hash: str | None) -> Unit:
        """Return the unit that begins the run. Raises RunError where another process is at work in its folder."""
        self._started = time.perf_counter()
        if self.name:  # of a single run, the caller has the lock
            self.locks.enter_context(alone_in(self.out))
        return Unit(self.name, "begin", BeginTask(packed(self.settings), self.out, split_hash or ""),
                    self.log_file, then=self._models)

    def _models(self, outcome: Outcome) -> Iterable[Unit]:
        begun = outcome.event("begun")
        self._begun, self._left = begun["settings"], len(self.settings.models)
        before = f"{self.name}, " if self.name else ""
        log_of = RunPaths(self.out).log_file
        return [*self.on_begun(begun["split_hash"]), *(Unit(
            f"{before}{model}", "model", ModelTask(self.out, self._begun, model, Path(begun["store"])), log_of(model),
            counts=True, then=partial(self._trained, model)) for model in self.settings.models)]

    def _trained(self, model: str, outcome: Outcome) -> Iterable[Unit]:
        if outcome.error is not None:
            self.failures[model] = str(outcome.error)
            self.reporter.warn(f"{self.name}{', ' if self.name else ''}{model} failed: {outcome.error}")
        self._left -= 1
        return [] if self._left else [Unit(
            self.name, "conclude", ConcludeTask(self.out, self._begun, self.settings.models, self.failures),
            self.log_file, then=self._concluded)]

    def _concluded(self, outcome: Outcome) -> Iterable[Unit]:
        if outcome.event("concluded")["has_results"]:
            self.reporter.result(report_line(self.out, time.perf_counter() - self._started))
        return ()
