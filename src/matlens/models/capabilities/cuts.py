"""What is said of a layer after which a network cannot be cut."""

from __future__ import annotations

from collections.abc import Sequence

from matlens.system.registry import did_you_mean

_NAMED = 24
"""Layers that are named: the last ones, where fine-tuning begins. A network may have hundreds."""


def no_cut(title: str, cut: str, possible: Sequence[str]) -> str:
    """Return the message: names that are near the one that was given, and the last layers after which a cut can be."""
    last = f"The last {_NAMED} of {len(possible)} layers" if len(possible) > _NAMED else "Layers"
    return (f"{title} cannot be cut after '{cut}'.{did_you_mean(cut, possible)} {last} after which it can: "
            f"{', '.join(possible[-_NAMED:])}.")
