"""Look at each node of a cluster: what it has, which versions it runs, and whether it sees the shared paths."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.errors import ClusterError
from matlens.system.cluster.looking import look
from matlens.system.console import listed
from matlens.system.files import make_folder, write_text
from matlens.system.ownership.temporary import temporary_beside

ANSWERS_WITHIN = 90.0
"""Seconds in which a node must say what it sees. It starts a process for that, which takes some 2."""


@dataclass(frozen=True)
class SharedPath:
    """A path that all nodes must see, at the same place.

    what: the option, or the setting, that names it. written: whether nodes write there: then it must be one folder,
        which is shown by files that each side leaves for the other.
    """

    path: Path
    what: str
    written: bool = False


@dataclass(frozen=True)
class Node:
    """A living node. id: Ray's. name: its address, with its host's name where that is known."""

    id: str
    name: str
    cpus: int
    gpus: int

    def holds(self, cpus: int, gpus: int) -> bool:
        """Return whether a task with such needs can run there."""
        return self.cpus >= cpus and self.gpus >= gpus


@dataclass(frozen=True)
class SeenNode:
    """What a node said. said: as `looking.look` returns it; None where it did not answer, and trouble says why."""

    node: Node
    said: Mapping[str, Any] | None
    trouble: str = ""


def living_nodes(ray: Any) -> list[Node]:
    """List the nodes that live, in the order of their names."""
    nodes = [Node(entry["NodeID"], f"{entry['NodeManagerHostname']} ({entry['NodeManagerAddress']}, "
                  f"{entry['NodeID'][:6]})", int(entry["Resources"].get("CPU", 0)),
                  int(entry["Resources"].get("GPU", 0))) for entry in ray.nodes() if entry["Alive"]]
    return sorted(nodes, key=lambda node: (node.name, node.id))


def own_look(paths: Sequence[SharedPath], packages: Sequence[str]) -> dict[str, Any]:
    """Return what this machine says of itself, as nodes do."""
    return dict(look([(str(shared.path), None) for shared in paths], tuple(packages)))


def looked_at(ray: Any, nodes: Sequence[Node], paths: Sequence[SharedPath], packages: Sequence[str],
              within: float = ANSWERS_WITHIN) -> list[SeenNode]:
    """Ask each node, all at once, what it has and sees. The folders that nodes write to are made if they are missing.

    Raises WriteError where this machine cannot write to one of them.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    sign = uuid.uuid4().hex
    with _witnesses(paths, sign) as places:
        asked = {}
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node.id, soft=False)
            task = ray.remote(look).options(num_cpus=0, max_retries=0, scheduling_strategy=there, name="matlens look")
            asked[task.remote([(str(shared.path), witness) for shared, witness in places], tuple(packages),
                              node.id)] = node
        done, late = ray.wait(list(asked), num_returns=len(asked), timeout=within)
        answers = {asked[ref].id: _answer(ray, asked[ref], ref, places, sign) for ref in done}
        for ref in late:
            ray.cancel(ref, force=True)
            answers[asked[ref].id] = SeenNode(asked[ref], None, f"it did not answer within {within:.0f} s")
    return [answers[node.id] for node in nodes]


def _answer(ray: Any, node: Node, ref: Any, places: Sequence[tuple[SharedPath, str | None]], sign: str) -> SeenNode:
    try:
        said: dict[str, Any] = ray.get(ref)
    except Exception as error:  # noqa: BLE001 -- whatever it is, it is this node's trouble, and is told as such
        return SeenNode(node, None, " ".join(str(error).split())[:400])
    for shared, witness in places:
        about = said["paths"][str(shared.path)]
        if witness is not None:  # the same folder, if each side sees what the other wrote
            about["same"] = about["content"] == sign and (Path(witness) / node.id).exists()
    return SeenNode(node, said)


@contextmanager
def _witnesses(paths: Sequence[SharedPath], sign: str) -> Iterator[list[tuple[SharedPath, str | None]]]:
    """Leave a sign in each folder that nodes write to, in a temporary folder that goes away at the end."""
    with ExitStack() as stack:
        places: list[tuple[SharedPath, str | None]] = []
        for shared in paths:
            if not shared.written:
                places.append((shared, None))
                continue
            make_folder(shared.path)
            folder = stack.enter_context(temporary_beside(shared.path / "seen-by-nodes"))
            make_folder(folder)
            write_text(folder / "asked", sign)
            places.append((shared, str(folder)))
        yield places


def faults_of(seen: SeenNode, own: Mapping[str, Any], paths: Sequence[SharedPath]) -> list[str]:
    """Say what keeps a node from doing what this machine asks: no answer, other versions, paths that it cannot see."""
    name, said = seen.node.name, seen.said
    if said is None:
        return [f"The node {name} gives no answer: {seen.trouble}"]
    faults = []
    if said["versions"]["python"] != own["versions"]["python"]:
        faults.append(f"The node {name} runs Python {said['versions']['python']}, and this machine "
                      f"{own['versions']['python']}.")
    if said["code"] is None:
        faults.append(f"matlens is not installed on the node {name}, for the Python that Ray runs there. Install it: "
                      "pip install 'matlens[ray]'")
    elif said["code"] != own["code"]:
        faults.append(f"The node {name} has other code of matlens than this machine (version "
                      f"{said['versions'].get('matlens')} there, {own['versions'].get('matlens')} here). Install the "
                      "same one on both.")
    for shared in paths:
        about, here = said["paths"][str(shared.path)], own["paths"][str(shared.path)]
        place = f"{shared.path} ({shared.what})"
        if not about["exists"]:
            faults.append(f"The node {name} does not see {place}.")
        elif "trouble" in about:
            faults.append(f"The node {name} cannot {'write to' if shared.written else 'read'} {place}: "
                          f"{about['trouble']}.")
        elif not (about["same"] if shared.written else about["content"] == here["content"]):
            faults.append(f"The node {name} has another folder at {place} than this machine.")
    return faults


def differing_versions(seen: SeenNode, own: Mapping[str, Any]) -> list[str]:
    """List the libraries whose versions on a node are others than here: results then differ in their last digits."""
    there = seen.said["versions"] if seen.said else {}
    return [f"{package} {there.get(package, 'missing')} there, {version} here"
            for package, version in own["versions"].items()
            if package not in ("python", "matlens") and there.get(package) != version]


def refuse_faults(faults: Sequence[str]) -> None:
    """Raise ClusterError with all that is wrong with the nodes."""
    if faults:
        shared = (" Photos, run and cache must lie on disks that all nodes share, at the same path; --data, --out and "
                  "--cache-dir name them.") if any("does not see" in fault or "another folder" in fault
                                                   or "cannot" in fault for fault in faults) else ""
        raise ClusterError(" ".join(faults) + shared)


def needs_of(nodes: Sequence[Node], cpus: int | None, *, wants_gpu: bool, may_take_gpu: bool) -> tuple[int, int]:
    """Return the (CPUs, GPUs) that each task takes.

    Args:
        cpus: as asked for; None: all of a node's, or, where tasks take a GPU, a node's share of CPUs for each. Where
            nodes differ, as many as the smallest has.
        wants_gpu: whether tasks must have one. may_take_gpu: whether they take one where nodes have some.

    Raises:
        ClusterError: no node has as much.
    """
    working = [node for node in nodes if node.cpus >= 1]
    gpus = int(wants_gpu or (may_take_gpu and any(node.gpus for node in working)))
    fitting = [node for node in working if node.gpus >= gpus]
    if not fitting:
        what = "a GPU" if gpus else "a CPU for tasks"
        raise ClusterError(f"No node of the cluster has {what}. It has: {_in_words(nodes)}.")
    needed = cpus or max(1, min(node.cpus // max(1, node.gpus) if gpus else node.cpus for node in fitting))
    if not any(node.holds(needed, gpus) for node in fitting):
        raise ClusterError(f"No node of the cluster has {needed} CPUs{' and a GPU' * gpus}, as --task-cpus asks for. "
                           f"It has: {_in_words(nodes)}.")
    return needed, gpus


def _in_words(nodes: Sequence[Node]) -> str:
    return listed([f"{node.name} with {node.cpus} CPUs and {node.gpus} GPUs" for node in nodes]) or "no node"
