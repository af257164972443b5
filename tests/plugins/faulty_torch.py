"""A throw-away file that adds small PyTorch models, each with a fault of its own while MATLENS_TEST_FAULTS is set.

acme/sound has none. acme/skewed computes something else once it is exported. acme/refusing cannot be exported.
acme/full finds no memory for one photo, acme/lost loses its card in the first step, acme/aborting ends its process
there, as drivers do.

Where MATLENS_TEST_PREFLIGHT is set, PyTorch seems to see a GPU, which answers so when it is tried.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from matlens.models import protocol
from matlens.models.preflight import Gpu, Preflight, preflight
from matlens.models.preprocess import Standardise
from matlens.models.registry import register
from matlens.models.spec import ModelSpec, NetworkOrder, WeightsFile

FAULTS = "MATLENS_TEST_FAULTS"


def _fault(kind: str) -> Any:
    import torch
    from torch import nn

    class Fault(nn.Module):
        """Passes on what it is given, unless its fault is asked for."""

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            if not os.environ.get(FAULTS):
                return maps
            if kind == "skewed" and torch.jit.is_tracing():
                return maps * torch.linspace(0, 3, maps.shape[1])[None, :, None, None]
            if kind == "refusing" and torch.jit.is_tracing():
                raise RuntimeError("there is no such operation")
            if torch.is_grad_enabled() and self.training:
                self.fail()
            return maps

        def fail(self) -> None:
            if kind == "full":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
            if kind == "lost":
                raise RuntimeError("CUDA error: unspecified launch failure")
            if kind == "aborting":
                sys.stderr.write("F0000 cuda_event: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access\n")
                sys.stderr.flush()
                os.abort()

    return Fault()


def _network_with(kind: str) -> Any:
    def network(order: NetworkOrder) -> Any:
        from collections import OrderedDict

        from torch import nn

        from matlens.models.torch.files import load_pretrained
        from matlens.models.torch.network import DividedModule

        def block(inputs: int, outputs: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU())

        module = nn.Sequential(OrderedDict(
            stem=nn.Sequential(block(3, 8), block(8, 16)), fault=_fault(kind), last=block(16, 32),
            pool=nn.AdaptiveAvgPool2d(1), classify=nn.Sequential(nn.Flatten(), nn.Linear(32, order.num_classes))))
        if order.weights_file is not None:
            load_pretrained(module, order.weights_file, kind)
        return DividedModule(module, ("stem", "fault", "last"), ("pool", "classify"),
                             pretrained=order.weights_file is not None)

    return network


class _RoomWithGpu:
    """The room of a framework, with a GPU that fails when it is tried."""

    def __init__(self, room: Any) -> None:
        self._room = room

    def __getattr__(self, name: str) -> Any:
        return getattr(self._room, name)

    def preflight(self, device: str | None) -> Preflight:
        def compute(name: str) -> None:
            raise RuntimeError(ANSWER)

        return preflight(device, ["cuda:0"], compute, "PyTorch", lambda name: Gpu("Tesla P100", (6, 0)))


if ANSWER := os.environ.get("MATLENS_TEST_PREFLIGHT"):
    open_room = protocol.open_room
    protocol.open_room = lambda name: _RoomWithGpu(open_room(name))


for _kind in ("sound", "skewed", "refusing", "full", "lost", "aborting"):
    register(ModelSpec(f"acme/{_kind}", _kind.capitalize(), "torch", network=_network_with(_kind),
                       preprocess=Standardise(), strong_cut="fault",
                       weights=(WeightsFile("faulty.pth", "https://example.org/faulty.pth"),)))
