"""Connect to the cluster that settings name, look at its nodes, and make the transport by which they do jobs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from matlens.errors import ClusterError
from matlens.runs.provenance import LIBRARIES_THAT_COUNT
from matlens.settings.schema import Settings
from matlens.system.cluster.connection import connected
from matlens.system.cluster.nodes import (
    Node,
    SharedPath,
    differing_versions,
    faults_of,
    living_nodes,
    looked_at,
    needs_of,
    own_look,
    refuse_faults,
)
from matlens.system.cluster.transport import RayTasks
from matlens.system.console import Reporter
from matlens.system.ownership.temporary import temporary_beside
from matlens.system.registry import PLUGINS


@dataclass(frozen=True)
class ClusterTasks:
    """The transport to a cluster, in words what it is, and the file to which jobs print that have no other one."""

    doer: RayTasks
    title: str
    log_file: Path


@contextmanager
def cluster_tasks(settings: Settings, out: Path, paths: Sequence[SharedPath], reporter: Reporter,
                  ) -> Iterator[ClusterTasks]:
    """Give the transport to the cluster that `settings.on` names, once each node is found to be fit for it.

    out: the folder of the results, on whose disk the log lies as long as this lasts.

    At the end, whatever ends it, nothing of matlens runs on the cluster any more.

    Raises:
        ClusterError: there is no cluster in reach, or what is wrong with each of its nodes.
    """
    assert settings.on is not None
    with connected(settings.on) as ray:
        nodes = living_nodes(ray)
        cpus, gpus = needs_of(nodes, settings.task_cpus, wants_gpu=settings.device == "cuda",
                              may_take_gpu=settings.device is None)
        fitting = [node for node in nodes if node.holds(cpus, gpus)]
        own = own_look(paths, LIBRARIES_THAT_COUNT)
        faults = []
        for seen in looked_at(ray, fitting, paths, LIBRARIES_THAT_COUNT):
            faults += faults_of(seen, own, paths)
            if differing := differing_versions(seen, own):
                reporter.warn(f"The node {seen.node.name} has other versions of libraries, so that results may differ "
                              f"in their last digits: {', '.join(differing)}.")
        refuse_faults(faults)
        doer = RayTasks(ray, cpus, gpus, [shared.path for shared in paths])
        try:
            with temporary_beside(out / "cluster.log") as log_file:
                yield ClusterTasks(doer, _in_words(fitting, cpus, gpus, reporter), log_file)
        except BaseException:
            doer.stop()
            raise
        finally:
            doer.close()


def _in_words(nodes: Sequence[Node], cpus: int, gpus: int, reporter: Reporter) -> str:
    nodes_are = f"{len(nodes)} node{'s' * (len(nodes) > 1)}"
    reporter.say(f"Ray cluster: {nodes_are}; each model takes {cpus} CPU{'s' * (cpus > 1)}{' and a GPU' * gpus}")
    return f"models on {nodes_are}"


def shared_paths(settings: Settings, *written: SharedPath) -> list[SharedPath]:
    """List the paths that nodes read and write for a run with these settings. written: the folder of the results."""
    optional = [(settings.weights_dir, "--weights-dir"), (settings.material_groups, "--material-groups"),
                *((Path(place), PLUGINS) for place in os.environ.get(PLUGINS, "").split(os.pathsep)
                  if place.endswith(".py")),
                *((Path(os.environ[name]), name) for name in ("KERAS_HOME", "TORCH_HOME", "HF_HOME")
                  if name in os.environ)]
    listed = [SharedPath(settings.data_dir, "--data"), *written, SharedPath(settings.cache_dir, "--cache-dir", True),
              *(SharedPath(path.expanduser().absolute(), what) for path, what in optional if path is not None)]
    if missing := [shared for shared in listed if not shared.written and not shared.path.exists()]:
        raise ClusterError(f"{missing[0].path} ({missing[0].what}) is not there on this machine either. Name one that "
                           "is, on a disk that all nodes share.")
    return listed


def with_whole_paths(settings: Settings) -> Settings:
    """Return settings whose paths mean the same in the folder of a node's process, and which ask for no cluster."""
    changes: dict[str, object] = {"on": None, "task_cpus": None, "data_dir": settings.data_dir.absolute(),
                                  "cache_dir": settings.cache_dir.absolute()}
    for name in ("weights_dir", "material_groups"):
        path = getattr(settings, name)
        changes[name] = path and path.absolute()
    if settings.groups is not None and Path(settings.groups).is_file():
        changes["groups"] = str(Path(settings.groups).absolute())
    return settings.model_copy(update=changes)
