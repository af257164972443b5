"""What a try of a device before training gave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preflight:
    """device: the one to train on, such as "cuda:0"; warning: why it is not the one that was looked for, or empty."""

    device: str
    warning: str = ""
