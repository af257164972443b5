"""Connect to a Ray cluster, and say in bounded time why there is none."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matlens.errors import ClusterError
from matlens.system.console import command
from matlens.system.untrusted import in_short

_CLIENT_PORT = 10001
"""Ray's own, at which a head node takes the commands of machines that are no nodes."""

_ANSWERS_WITHIN = 5.0
"""Seconds in which a machine must take a connection."""

_QUIET = {"RAY_GCS_RPC_TIMEOUT_S": "10", "RAY_gcs_rpc_server_connect_timeout_s": "5",
          "RAY_gcs_rpc_server_reconnect_timeout_s": "20", "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S": "10",
          "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_TQDM_PATCH_PRINT": "0"}
"""How long Ray's client waits, where the user has not said it; without them a port that nobody serves takes minutes."""


@contextmanager
def connected(place: str) -> Iterator[Any]:
    """Give the module `ray`, connected to a cluster. A connection that this process had already is used, and stays.

    place: "ray" for the cluster that this machine is a node of, or that RAY_ADDRESS names; "ray://HOST[:PORT]" for
        another one.

    Raises:
        ClusterError: Ray is not installed, there is no cluster, or it has another version of Python or Ray.
    """
    ray = _imported()
    if ray.is_initialized():
        yield ray
        return
    address = _address(place)
    _refuse_silence(address if address != "auto" else _noted_address())
    with _handlers_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the client waits in vain: said below
        try:
            ray.init(address=address, configure_logging=False, log_to_driver=False, namespace="matlens")
        except Exception as error:
            with contextlib.suppress(Exception):
                ray.shutdown()
            raise ClusterError(_why(error, address)) from error
    try:
        yield ray
    finally:
        with _handlers_kept():
            ray.shutdown()


def _imported() -> Any:
    """Import Ray. Raises ClusterError where it is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise ClusterError("--on ray needs Ray, which is not installed here. Install it on this machine and on each "
                           "node: pip install 'matlens[ray]'")
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    return ray


def _address(place: str) -> str:
    if place == "ray":
        return os.environ.get("RAY_ADDRESS") or "auto"
    host, port = _host_and_port(place)
    return f"ray://{host}:{port}"


def _noted_address() -> str | None:
    """Return the address that `ray start` notes on this machine, whose cluster may be gone; None where there is none.

    Ray ends the process that connects to a cluster that is gone.
    """
    try:
        from ray._private.utils import read_ray_address
    except ImportError:  # another version: Ray finds out by itself
        return None
    noted = read_ray_address(None)
    return None if noted is None else str(noted)


def _host_and_port(address: str) -> tuple[str, int]:
    """Divide an address; a port that is not said is that of Ray's clients."""
    place = address.removeprefix("ray://")
    host, colon, port = place.rpartition(":")
    if not colon or port.endswith("]"):
        return place, _CLIENT_PORT
    return host, int(port) if port.isdigit() else _CLIENT_PORT


def _refuse_silence(address: str | None) -> None:
    """Raise ClusterError where no machine takes connections at an address: Ray itself waits for much longer."""
    if address is None or address == "auto":
        return
    host, port = _host_and_port(address)
    try:
        socket.create_connection((host.strip("[]"), port), timeout=_ANSWERS_WITHIN).close()
    except OSError as error:
        reason = error.strerror or error
        raise ClusterError(f"No Ray cluster answers at {address}: {reason}. {_ways(address)}") from error


def _ways(address: str) -> str:
    if address.startswith("ray://"):
        return (f"Start one with ray start --head on {_host_and_port(address)[0]}, which takes commands of other "
                f"machines at port {_CLIENT_PORT}, and look at it with: {command('cluster', 'check', '--on', address)}")
    return ("Start one on this machine with ray start --head, and on further ones with ray start --address HOST:6379; "
            "or name another cluster with --on ray://HOST:10001.")


def _why(error: Exception, address: str) -> str:
    """Say why there is no connection."""
    reason = in_short(" ".join(str(error).split()) or type(error).__name__)
    if "version mismatch" in reason.lower():
        return (f"The cluster at {address} has another version of Python or Ray than this machine ({reason}). Install "
                "the same ones on both: pip install 'matlens[ray]'")
    if isinstance(error, ImportError):
        return f"Ray's client is not complete here ({reason}). Install it: pip install 'matlens[ray]'"
    where = "this machine is a node of no Ray cluster" if address == "auto" else f"no Ray cluster answers at {address}"
    return f"{where[0].upper()}{where[1:]} ({reason}). {_ways(address)}"


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Keep what signals do: Ray takes SIGTERM for itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
