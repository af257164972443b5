"""Settings of a cluster: where models are trained and judged, and how much of a node each of them takes."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from matlens.settings.declaration import SECOND_VERSION, Setting
from matlens.settings.panels import MACHINE

_PLACE = re.compile(r"ray(://[^\s/:@]+(:[0-9]{1,5})?|://\[[0-9a-fA-F:]+\](:[0-9]{1,5})?)?")


def on(value: Any) -> Any:
    """Refuse what names no Ray cluster. Whether there is one is seen later."""
    if value is None or (isinstance(value, str) and _PLACE.fullmatch(value)):
        return value
    raise ValueError("choose ray, for the cluster that this machine is a node of, or ray://HOST:10001, for another one")


def _with_on(value: int | None, info: ValidationInfo) -> int | None:
    if value is not None and info.data.get("on") is None:
        raise ValueError("it says how much of a node a task takes, and the run is not on a cluster; add --on ray, or "
                         "leave it out")
    return value


def _one_of_the_nodes(value: str | None, info: ValidationInfo) -> str | None:
    device = info.data.get("device")
    if value is not None and device is not None and device.startswith("cuda:"):
        raise ValueError(f"Ray gives each task a GPU, so that --device {device} cannot choose one; give --device cuda")
    return value


On = Annotated[str | None, BeforeValidator(on), AfterValidator(_one_of_the_nodes), Setting(
    option="--on", panel=MACHINE, metavar="ray[://HOST:PORT]", resumed="may differ", of_machine=True,
    since=SECOND_VERSION, shown="this machine",
    help="A Ray cluster whose nodes train and judge the models, several at once: ray is the one that this machine is a "
         "node of, ray://HOST:10001 another one. Photos, run and cache must lie on disks that all nodes share.")]

TaskCpus = Annotated[int | None, Field(ge=1), AfterValidator(_with_on), Setting(
    option="--task-cpus", panel=MACHINE, resumed="may differ", of_machine=True, since=SECOND_VERSION,
    shown="all of a node's, or its share for a GPU",
    help="With --on: how many CPUs of a node each model takes. Fewer let a node train several at once.")]
