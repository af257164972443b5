"""What a framework finds out about its device before it trains there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preflight:
    """The device on which a real computation has succeeded.

    device: what to hand to `BuildOrder.device`: "cpu", "cuda", "cuda:1" or "mps".
    warning: why it is not the GPU that the machine has, and what to do about it; empty where all is as it should be.
    """

    device: str
    warning: str = ""
