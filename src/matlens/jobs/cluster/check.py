"""Look at a cluster, and say of each node what it has and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from matlens.errors import ClusterError
from matlens.runs.provenance import LIBRARIES_THAT_COUNT
from matlens.settings.schema import Settings
from matlens.system.cluster.connection import connected
from matlens.system.cluster.nodes import (
    SeenNode,
    SharedPath,
    differing_versions,
    faults_of,
    living_nodes,
    looked_at,
    own_look,
)
from matlens.system.console import Reporter

LEAST_FREE = 5e9
"""Bytes on the disks of runs and cache below which it is said that little is free."""


def check_cluster(settings: Settings, data: Path | None, out: Path, *, as_json: bool) -> None:
    """Print what each node of `settings.on` has, then what is wrong. Folders that were missing are removed again.

    data: of photos that nodes must see; None: none are named. out: in which runs are to lie.

    Raises:
        ClusterError: there is no cluster, photos are not here either, or a node cannot do what is asked of it.
    """
    assert settings.on is not None
    paths = [SharedPath(out.absolute(), "--out", True), SharedPath(settings.cache_dir.absolute(), "--cache-dir", True)]
    if data is not None:
        if not data.is_dir():
            raise ClusterError(f"{data} (--data) is not there on this machine either.")
        paths.append(SharedPath(data.absolute(), "--data"))
    made = [folder for shared in paths if shared.written for folder in (shared.path, *shared.path.parents)
            if not folder.exists()]
    try:
        with connected(settings.on) as ray:
            seen = looked_at(ray, living_nodes(ray), paths, LIBRARIES_THAT_COUNT)
        own = own_look(paths, LIBRARIES_THAT_COUNT)
    finally:
        with suppress(OSError):
            for folder in made:
                folder.rmdir()
    if as_json:
        print(json.dumps([_as_json(node, own, paths) for node in seen]))
    else:
        _print(seen, own, paths)
    if faulty := [node for node in seen if node.node.cpus and faults_of(node, own, paths)]:
        raise ClusterError(f"{len(faulty)} of {len(seen)} nodes cannot train for this machine: "
                           f"{', '.join(node.node.name for node in faulty)}.")


def _print(seen: list[SeenNode], own: Mapping[str, Any], paths: list[SharedPath]) -> None:
    reporter = Reporter()
    for node in seen:
        about = node.node
        idle = "" if about.cpus else "; no tasks are done there"
        reporter.result(f"{about.name}: {about.cpus} CPUs, {about.gpus} GPUs{idle}")
        if node.said is not None:
            versions = node.said["versions"]
            reporter.result(f"  Python {versions['python']}, matlens {versions.get('matlens', 'missing')}"
                            + (" (the same code as here)" if node.said["code"] == own["code"] else ""))
            for shared in paths:
                free = node.said["paths"][str(shared.path)]["free"]
                if shared.written and free is not None:
                    little = " (this is little)" if free < LEAST_FREE else ""
                    reporter.result(f"  {shared.path}: {decimal(int(free))} free{little}")
        for remark in differing_versions(node, own):
            reporter.result(f"  another version of a library: {remark}")
        for fault in faults_of(node, own, paths):
            reporter.warn(fault)


def _as_json(node: SeenNode, own: Mapping[str, Any], paths: list[SharedPath]) -> dict[str, Any]:
    return {"node": node.node.name, "cpus": node.node.cpus, "gpus": node.node.gpus, "said": node.said,
            "faults": faults_of(node, own, paths), "other_versions": differing_versions(node, own)}
