"""A library of backbones: any of its networks is a model, read from what the library says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matlens.errors import ModelError
from matlens.models.spec import ModelSpec
from matlens.system.registry import Registry


@dataclass(frozen=True)
class Library:
    """A library, declared once; its models are named `<name>/<their name there>`.

    name: such as "timm".
    title: for people.
    names: returns the names that its networks have in the library, in the library's order. It may start a process that
        imports the library, so what it finds is kept.
    spec: reads the declaration of one of them. Raises ModelError, which names near ones, for a name that the library
        does not have or a network that cannot be a model here.
    """

    name: str
    title: str
    names: Callable[[], Sequence[str]]
    spec: Callable[[str], ModelSpec]


LIBRARIES: Registry[Library] = Registry("library of models", "matlens.models.libraries", ModelError)
"""Each file of `models/libraries/` that is named for a library registers it."""
