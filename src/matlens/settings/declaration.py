"""What a setting declares of itself, besides its type and its default: everything that follows from it is read here.

The options of the command line, what a resumed run must agree on, and the command that repeats a run are made from the
declarations in `settings.schema`, so that a setting is added in one place.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

Written = Callable[[Any], Sequence[str] | None]
"""From a value as JSON holds it to the arguments of its option, one for each time that the option is given; None where
the option cannot state this value."""

FIRST_VERSION, SECOND_VERSION = 1, 2


def in_words(value: Any) -> Sequence[str] | None:
    """Write a value as its option takes it; those of a list separated by commas."""
    return (",".join(map(str, value)) if isinstance(value, list) else str(value),)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The metadata of a setting.

    help: sentences for people.
    resumed: whether a run that goes on must agree on it. What may differ decides where, or how much, not what comes
        out.
    option: its name on the command line; of a switch, `--on/--off` or the word that turns it on.
    short: a letter for the option.
    why_no_option: the reason, where it has none.
    shown: the default in words, where the value does not say it.
    given_as: the option's type, where it is not the setting's.
    metavar: what stands for the value in help; the type's name if empty.
    panel: the heading in help under which the option stands.
    required: whether the command line must give it.
    of_machine: whether it says where things are, or what a machine has: the command that repeats a run leaves it out.
    written: how the option states a value.
    read: makes a value of what the command line gives, where that may name a file. Nothing else reads one: a recorded
        run, which may be a stranger's, must not decide which files are opened.
    since: the version of the package that first recorded it.
    shown_as: writes a value that is too long for a table in a few words.
    """

    help: str
    resumed: Literal["must agree", "may differ"]
    option: str | None = None
    short: str | None = None
    why_no_option: str = ""
    shown: str | None = None
    given_as: type[Any] | types.GenericAlias | None = None
    metavar: str | None = None
    panel: str | None = None
    required: bool = False
    of_machine: bool = False
    written: Written = in_words
    read: Callable[[str], Any] | None = None
    since: int = FIRST_VERSION
    shown_as: Callable[[Any], str] | None = None

    def in_short(self, value: Any) -> Any:
        """Return a value as a table shows it."""
        return value if self.shown_as is None else self.shown_as(value)

    def arguments(self, value: Any) -> list[str] | None:
        """Return the words of the command line that state a value; None where no option can."""
        if self.option is None:
            return None
        if isinstance(value, bool):
            on, _, off = self.option.partition("/")
            return [word] if (word := on if value else off) else None
        written = self.written(value)
        return None if written is None else [word for argument in written for word in (self.option, argument)]


def declaration_of(field: FieldInfo) -> Setting:
    """Return what a field of the settings declares. Raises TypeError where it declares nothing."""
    for entry in field.metadata:
        if isinstance(entry, Setting):
            return entry
    raise TypeError(f"the setting of type {field.annotation} is declared without help and rules: annotate it with "
                    "Setting(...)")


def option_type(field: FieldInfo) -> type[Any] | types.GenericAlias:
    """Return the type in which the command line gives a setting: a choice of words is a str. Raises TypeError."""
    return declaration_of(field).given_as or _plain(field.annotation)


def choices_of(field: FieldInfo) -> str | None:
    """Return the words among which a setting chooses, as in 'train|train+val'; None where it takes others, too."""
    parts = get_args(field.annotation) if get_origin(field.annotation) in (Union, types.UnionType) else [
        field.annotation]
    [choice] = [part for part in parts if get_origin(part) is Literal] or [None]
    return "|".join(map(str, get_args(choice))) if choice else None


def _plain(annotation: Any) -> type[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        [annotation] = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is Literal:
        return str
    if annotation in (bool, int, float, str, Path):
        return annotation  # type: ignore[no-any-return]
    raise TypeError(f"an option has no type {annotation}; declare given_as")


def by_recipe(known: Mapping[str, Any], guide: int, strong: int, probe: int | None = None) -> int:
    """Choose a default that the recipe decides. known: the settings that stand before it. probe: if not as of guide."""
    of_recipe = {"strong": strong, "probe": guide if probe is None else probe}
    return of_recipe.get(known.get("recipe", "guide"), guide)
