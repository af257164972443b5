"""Settings of earlier versions: what became of them, and what the first version would have recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from matlens.settings.declaration import FIRST_VERSION


@dataclass(frozen=True)
class Earlier:
    """A setting that has another name today.

    place: today's setting, and the keys inside of it.
    option: what it was called on the command line, where it is still understood. given_as: the option's type.
    until: the last version that recorded it. default: what that version recorded where nobody set it.
    """

    place: tuple[str, ...]
    option: str
    given_as: type[Any]
    until: int
    default: Any

    @property
    def today(self) -> str:
        """Today's name, in words."""
        return ".".join(self.place)


EARLIER: Mapping[str, Earlier] = {
    "alpha": Earlier(("model_options", "mobilenetv2_transfer", "alpha"), "--alpha", float, FIRST_VERSION, 1.0)}
"""By the name of the setting then."""


def brought_up_to_date(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return settings under today's names, and a sentence about each that had another one.

    Where a setting is given under both names, both go on in a list, today's last.
    """
    today, remarks = dict(values), []
    for name, earlier in EARLIER.items():
        if name not in today:
            continue
        value: Any = today.pop(name)
        remarks.append(f"The setting {name} of an earlier version is called {earlier.today} now.")
        for key in reversed(earlier.place[1:]):
            value = {key: value}
        today_name = earlier.place[0]
        if today_name in today:
            later = today[today_name]
            value = [value, *(later if isinstance(later, list | tuple) else [later])]
        today[today_name] = value
    return today, remarks


def as_version_recorded(version: int, values: Mapping[str, Any], since: Mapping[str, tuple[int, Any]],
                        ) -> dict[str, Any]:
    """Return settings under the names and with the keys that an earlier version recorded.

    What that version could not have recorded stays under today's name, so that the result equals none of its records;
    a newer setting at its default asks for what that version did, and is left out.

    Args:
        values: today's settings as JSON values.
        since: of each of today's settings the version that first recorded it, and its default.
    """
    recorded = {name: value for name, value in values.items() if since[name][0] <= version}
    newer = {name: _copy(value) for name, value in values.items() if since[name][0] > version}
    for name, earlier in EARLIER.items():
        if earlier.until >= version:
            recorded[name] = _taken_out(newer, earlier)
    return recorded | {name: value for name, value in newer.items() if value and value != since[name][1]}


def _taken_out(values: dict[str, Any], earlier: Earlier) -> Any:
    """Remove an earlier setting's value from its place of today, with tables that are then empty, and return it."""
    tables = [values]
    for key in earlier.place[:-1]:
        tables.append(tables[-1].get(key, {}))
    value = tables[-1].pop(earlier.place[-1], earlier.default)
    for table, key in reversed(list(zip(tables, earlier.place[:-1], strict=False))):
        if key in table and not table[key]:
            del table[key]
    return value


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value
