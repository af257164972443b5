"""Group things that are linked in pairs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Generic, Protocol, TypeVar


class _Sortable(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...
    def __hash__(self) -> int: ...


Item = TypeVar("Item", bound=_Sortable)


class Clusters(Generic[Item]):
    """Disjoint sets. The groups do not depend on the order of the links."""

    def __init__(self) -> None:
        self._above: dict[Item, Item] = {}

    def _root(self, item: Item) -> Item:
        above = self._above
        while above.setdefault(item, item) != item:
            above[item] = item = above[above[item]]
        return item

    def are_joined(self, first: Item, second: Item) -> bool:
        """Return whether links lead from one item to the other."""
        return self._root(first) == self._root(second)

    def join(self, first: Item, second: Item) -> None:
        """Link two items."""
        self._above[self._root(second)] = self._root(first)

    def groups(self) -> list[tuple[Item, ...]]:
        """Return the groups of at least two items as sorted tuples, sorted."""
        members: dict[Item, list[Item]] = defaultdict(list)
        for item in list(self._above):
            members[self._root(item)].append(item)
        return sorted(tuple(sorted(group)) for group in members.values() if len(group) > 1)
