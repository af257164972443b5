"""A small Ray cluster on this machine, in a process of its own: a head that does no tasks, and nodes of one CPU each.

The script reads commands, one a line, and ends the cluster when its input closes: `kill ID` ends a node's processes at
once, `add` adds one. It answers each with a line of JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import matlens

_LATEST = 300.0
"""Seconds after which a cluster that is not there will not come."""

OBJECTS = 80 << 20
"""Bytes of each node's object store, which is the least that Ray takes."""


class RayNodes:
    """The cluster. address: of its head, as RAY_ADDRESS says it. client: as `--on` says it. nodes: their ids."""

    def __init__(self, count: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mr-", dir="/tmp"))  # a short name: sockets lie in it
        (self._folder / "ray").mkdir()  # where RAY_TMPDIR has Ray note which cluster it began last
        self._log = (self._folder / "log.txt").open("wb")
        path = os.pathsep.join([str(Path(matlens.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen([sys.executable, __file__, str(count), str(self._folder / "ray")], text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
                                         env={**os.environ, "PYTHONPATH": path, "RAY_TMPDIR": str(self._folder),
                                              "RAY_USAGE_STATS_ENABLED": "0"})
        self.address, self.client, self.nodes = "", "", list[str]()

    def begin(self) -> None:
        """Wait until the cluster is there. Skips the test where Ray's own processes do not start on this machine."""
        late = threading.Timer(_LATEST, self._process.kill)
        late.start()
        try:
            about = self._answer()
        except AssertionError as error:
            pytest.skip(f"a cluster of Ray does not start here: {str(error)[-500:]}")
        finally:
            late.cancel()
        self.address, self.client, self.nodes = about["address"], about["client"], about["nodes"]

    def kill(self, node: str) -> None:
        """End all processes of a node. node: its id, or how that begins."""
        self._ask(f"kill {node}")

    def add(self) -> None:
        """Add a node."""
        self._ask("add")

    def close(self) -> None:
        """End the cluster, and remove its files."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(120)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()
        self.nodes = self._answer()["nodes"]

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, Path(self._log.name).read_text(errors="replace")[-2000:]
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def ray_nodes(count: int) -> Iterator[RayNodes]:
    """Give a cluster, whose head RAY_ADDRESS names inside. Skips the test where Ray is not installed."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'matlens[ray]'")
    pytest.importorskip("grpc", reason="Ray's client is not installed: pip install 'matlens[ray]'")
    nodes = RayNodes(count)
    try:
        nodes.begin()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_ADDRESS", nodes.address)
            yield nodes
    finally:
        nodes.close()


def main() -> None:
    """Keep a cluster until the input closes."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray prints to standard output
    from ray.cluster_utils import Cluster

    count, folder = int(sys.argv[1]), sys.argv[2]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cluster = Cluster(initialize_head=True, head_node_args={
        "num_cpus": 0, "object_store_memory": OBJECTS, "include_dashboard": False, "temp_dir": folder,
        "ray_client_server_port": port})
    workers = [cluster.add_node(num_cpus=1, object_store_memory=OBJECTS) for _ in range(count)]

    def answer() -> None:
        print(json.dumps({"address": cluster.address, "client": f"ray://127.0.0.1:{port}",
                          "nodes": [node.node_id for node in workers]}), file=out, flush=True)

    answer()
    for line in sys.stdin:
        words = line.split()
        if words[0] == "kill":
            [node] = [node for node in workers if node.node_id.startswith(words[1])]
            workers.remove(node)
            cluster.remove_node(node, allow_graceful=False)
        else:
            workers.append(cluster.add_node(num_cpus=1, object_store_memory=OBJECTS))
        answer()
    cluster.shutdown()


if __name__ == "__main__":
    main()
