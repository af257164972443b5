"""Do jobs on the nodes of a Ray cluster: the second transport of `matlens.system.transport`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matlens.errors import ClusterError, KilledError, WorkerError, named_error
from matlens.system.cluster.looking import look
from matlens.system.cluster.mailbox import open_mailbox
from matlens.system.cluster.nodes import living_nodes
from matlens.system.cluster.worker import JobOrder
from matlens.system.transport import Event, OnEvent, encode

CARRIED = ("MATLENS_PLUGINS", "KERAS_BACKEND", "KERAS_HOME", "TORCH_HOME", "HF_HOME", "OMP_NUM_THREADS",
           "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "TF_ENABLE_ONEDNN_OPTS", "TF_DETERMINISTIC_OPS",
           "CUBLAS_WORKSPACE_CONFIG", "PYTHONHASHSEED")
"""The variables that decide what a job computes: it has those of the machine that asks, not those of the node."""

_POLL, _STOP_WITHIN = 0.3, 10.0
"""Seconds between two looks at a task, and for tasks to end that are cancelled."""

LOOK_EVERY, PATIENCE = 5.0, 60.0
"""Seconds between two looks at the nodes while a task waits, and for which it waits though none could take it."""

_LOSSES = 5
"""How often a task is begun again whose node, or process, is gone."""


class RayTasks:
    """Do each job in a child process of a Ray task, which takes so many CPUs and GPUs of a node.

    A task whose node dies is begun again on another one. Jobs go on from their checkpoints and caches, so that nothing
    is done twice that was finished.
    """

    def __init__(self, ray: Any, cpus: int, gpus: int, paths: Sequence[Path]) -> None:
        """paths: which every node must see."""
        self._ray, self._cpus, self._gpus = ray, cpus, gpus
        self._paths, self._code = tuple(map(str, paths)), str(look((), ())["code"])
        # max_retries: a task that is lost begins again in `run`, where the user is told; Ray would do so in silence.
        self._task = ray.remote(_by_value()).options(num_cpus=cpus, num_gpus=gpus, max_retries=0,
                                                     scheduling_strategy="SPREAD", name="matlens")
        self._mailbox = open_mailbox(ray)
        self._running: set[Any] = set()
        self._lock, self._is_stopped = threading.Lock(), False

    def run(self, job: str, task: object, log_file: Path, on_event: OnEvent, environment: Mapping[str, str]) -> None:
        """Do the job; see `transport.run_job`. It may be called by several threads at once.

        log_file: on a disk that the nodes share.
        on_event: called with `placed`, too: the `node` that does the job, and its `id`; and with `lost`: the `node`
            that is gone, before the job begins again.

        Raises:
            ClusterError: nodes that could do the job are gone, or it was lost time and again.
            MatlensError: what the job raised, with the name of the node.
        """
        from ray import exceptions

        carried = {name: os.environ.get(name) for name in CARRIED}
        order = JobOrder(job, encode(task), str(log_file), {**carried, **environment},
                         self._cpus, self._paths, self._code)
        why = ""
        for _ in range(_LOSSES):
            unit = uuid.uuid4().hex
            with self._lock:
                self._refuse_stopped()
                ref = self._task.remote(self._mailbox, unit, dataclasses.asdict(order))
                self._running.add(ref)
            try:
                failure, node = self._followed(ref, unit, on_event)
            except (ConnectionError, exceptions.RaySystemError, exceptions.RayActorError) as error:
                raise ClusterError("The connection to the cluster is lost, or its head is gone "
                                   f"({' '.join(str(error).split())[:400]}). What was finished is kept; the same "
                                   "command makes what is missing.") from error
            finally:
                self._running.discard(ref)
            if failure is None:
                return
            if failure["event"] == "failed":
                raise named_error(failure["kind"], failure["message"])
            on_event({"event": "lost", "node": node or "a node"})
            why = f"{node or 'a node'}: {failure['message']}"
        raise ClusterError(f"The job {job} was lost {_LOSSES} times, the last time with {why}")

    def stop(self) -> None:
        """Cancel all tasks, and wait until they have ended. Threads that are in `run` raise."""
        with self._lock:
            self._is_stopped = True
            running = list(self._running)
        with contextlib.suppress(Exception):  # without a connection, the cluster ends them by itself
            for force in (False, True):  # first so that a task ends its child and gives its cores back
                for ref in running:
                    self._ray.cancel(ref, force=force)
                if running:
                    _, running = self._ray.wait(running, num_returns=len(running), timeout=_STOP_WITHIN)

    def close(self) -> None:
        """End the mailbox."""
        with contextlib.suppress(Exception):  # likewise
            self._ray.kill(self._mailbox)

    def _followed(self, ref: Any, unit: str, on_event: OnEvent) -> tuple[Event | None, str]:
        """Pass a task's events on until it ends. Returns what went wrong, or None, and the node's name."""
        node, next_look, missing_since = "", time.monotonic() + LOOK_EVERY, None
        while True:
            ready, _ = self._ray.wait([ref], timeout=_POLL)
            self._refuse_stopped()
            for event in self._ray.get(self._mailbox.take.remote(unit)):
                if event["event"] == "placed":
                    node = event["node"]
                if event["event"] != "ended":
                    on_event(event)
            if ready:
                return self._outcome(ref), node
            if not node and time.monotonic() > next_look:
                next_look = time.monotonic() + LOOK_EVERY
                if any(living.holds(self._cpus, self._gpus) for living in living_nodes(self._ray)):
                    missing_since = None
                    continue
                missing_since = missing_since or time.monotonic()
                if time.monotonic() - missing_since > PATIENCE:
                    raise ClusterError(f"No living node of the cluster has {self._cpus} CPUs and {self._gpus} GPUs any "
                                       "more. What was finished is kept; the same command makes what is missing.")

    def _outcome(self, ref: Any) -> Event | None:
        """Return how a task that has ended came out: None, or an event `failed` or `lost`."""
        from ray import exceptions

        try:
            failure: Event | None = self._ray.get(ref)
        except exceptions.OutOfMemoryError as error:
            raise KilledError("Ray ended it, since its node ran out of memory. Let fewer tasks share a node, with a "
                              f"larger --task-cpus ({str(error).splitlines()[0]})") from error
        except exceptions.TaskCancelledError as error:
            raise WorkerError("its task was cancelled") from error
        except exceptions.RayTaskError as error:
            raise WorkerError(f"its task failed: {' '.join(str(error).split())[-400:]}") from error
        except exceptions.RayError as error:
            return {"event": "lost", "message": " ".join(str(error).split())[:400]}
        return None if failure is None else {"event": "failed", **failure}

    def _refuse_stopped(self) -> None:
        if self._is_stopped:
            raise Stopped("stopped")


class Stopped(WorkerError):
    """The tasks of a cluster were cancelled, since the command ends."""


def _by_value() -> Any:
    """Return what a Ray task does. It travels with its code, so that a node without matlens can say so."""

    def matlens_task(mailbox: Any, unit: str, order: dict[str, Any]) -> dict[str, Any] | None:
        import socket

        import ray

        here = ray.get_runtime_context().get_node_id()
        node = f"{socket.gethostname()} ({ray.util.get_node_ip_address()}, {here[:6]})"
        # Not waited for: a task that waits for Ray gives its CPUs away meanwhile, to a second task.
        def tell(event: Event) -> Any:
            return mailbox.put.remote(unit, event)

        tell({"event": "placed", "node": node, "id": here})
        try:
            from matlens.system.cluster.worker import JobOrder, done_here
        except ImportError as error:
            return {"kind": "ClusterError", "message": f"matlens cannot be imported on the node {node}: {error}"}
        failure = done_here(JobOrder(**order), node, tell)
        ray.get(tell({"event": "ended"}))  # whoever asked finds all events once the task has ended
        return failure

    return matlens_task
