"""The mailbox in which tasks leave their events, and from which the machine that asked takes them."""

from __future__ import annotations

from typing import Any

_HEAD = "node:__internal_head__"
"""The resource that Ray gives the head node, which lives as long as the cluster does."""


def open_mailbox(ray: Any) -> Any:
    """Start the actor of a mailbox, on the head node. It holds a unit's lines, and of its progress the last state."""

    # A class that is made in a function travels with its code: the head needs no matlens.
    class Mailbox:
        def __init__(self) -> None:
            self.events: dict[str, list[dict[str, Any]]] = {}

        def put(self, unit: str, event: dict[str, Any]) -> None:
            events = self.events.setdefault(unit, [])
            if events and event["event"] == events[-1]["event"] == "progress":
                events.pop()
            events.append(event)

        def take(self, unit: str) -> list[dict[str, Any]]:
            return self.events.pop(unit, [])

    return ray.remote(Mailbox).options(num_cpus=0, resources={_HEAD: 0.001}, max_restarts=0).remote()
