"""Measure the models of a run on degraded photos, on a cluster: several models at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from matlens.errors import WorkerError
from matlens.jobs.cluster.tasks import cluster_tasks, shared_paths
from matlens.jobs.cluster.units import Outcome, Unit, do_units
from matlens.jobs.measure import draw_robustness_of_all
from matlens.jobs.tasks.robustness import RobustnessTask
from matlens.runs.run import Run
from matlens.settings.schema import Settings
from matlens.system.cluster.nodes import SharedPath
from matlens.system.console import Reporter
from matlens.workers.telling import packed


def robustness_on(settings: Settings, run: Run, names: Sequence[str], n: int, reporter: Reporter) -> None:
    """Do what `jobs.measure.measure_robustness` does, on the cluster `settings.on`.

    Raises:
        ClusterError: there is no cluster, or what is wrong with its nodes.
        WorkerError: models could not be measured; the others are.
    """
    out, root, failures = run.path.absolute(), run.data_root.absolute(), list[str]()
    own = run.settings.model_copy(update={"data_dir": root, "cache_dir": run.settings.cache_dir.absolute(),
                                          "weights_dir": None, "material_groups": None, "on": settings.on,
                                          "task_cpus": settings.task_cpus})
    sent = packed(own.model_copy(update={"on": None, "task_cpus": None}))

    def ended(name: str, outcome: Outcome) -> Iterable[Unit]:
        if outcome.error is not None:
            failures.append(name)
            reporter.warn(f"{name} failed: {outcome.error}")
        return ()

    # Artifacts predict on CPUs, so that no task takes a GPU; and they need nothing of the cache.
    asked = own.model_copy(update={"device": "cpu"})
    paths = [shared for shared in shared_paths(own, SharedPath(out, "the run", True)) if shared.what != "--cache-dir"]
    with cluster_tasks(asked, out, paths, reporter) as cluster:
        units = [Unit(name, "robustness", RobustnessTask(out, sent, root, name, n),
                      run.paths.log_file(name).absolute(), counts=True, then=partial(ended, name)) for name in names]
        do_units(units, cluster.doer, reporter, cluster.title, len(names))
    draw_robustness_of_all(run, reporter)
    if failures:
        raise WorkerError(f"{len(failures)} of {len(names)} models could not be measured ({', '.join(failures)}). Fix "
                          "the problem and run the same command again; what was measured is kept.")
