"""A library of backbones: any of its networks is a model, read from what the library says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from matlens.errors import ModelError
from matlens.models.frameworks import FrameworkName
from matlens.models.spec import ModelSpec, WeightsFile
from matlens.system.registry import Registry


@dataclass(frozen=True)
class ModelFacts:
    """What counting a model gives.

    parameters: how many numbers training can change in its backbone, without a head and without the statistics of
        normalisation; of a model that is trained whole, in all of it.
    flops: floating-point operations of one photo, two for each multiplication and addition: twice what papers that
        count these as one give (ResNet50 at 224 pixels: 7.7e9).
    img_size: (height, width) of the photo, in pixels.
    """

    parameters: int
    flops: int
    img_size: tuple[int, int]


Counting = Callable[[ModelSpec, tuple[int, int]], ModelFacts]
"""Counts a model for photos (height, width); called in a process that may import the framework, so it imports there."""


@dataclass(frozen=True)
class PublishedWeights:
    """What a library says of a network's weights. side: of the photos that they were trained on, in pixels."""

    side: int
    files: tuple[WeightsFile, ...]
    licence: str


class Catalogue(Protocol):
    """What is known of a library's networks where to declare one takes a process."""

    def kept_names(self) -> Sequence[str]:
        """Return the names as far as they are known without a process."""

    def published(self, name: str) -> PublishedWeights:
        """Return what the library says of a network's weights. Raises ModelError for a name that it does not have."""

    def look(self, names: Sequence[str]) -> None:
        """Look at several networks in one process, and keep what is seen. Raises ModelError."""

    def counted(self, name: str) -> ModelFacts | None:
        """Return what was counted when somebody looked; None where nobody has.

        Raises ModelError for a network that cannot be a model.
        """


@dataclass(frozen=True)
class Library:
    """A library, declared once; its models are named `<name>/<their name there>`.

    name: such as "timm".
    title: for people.
    names: returns the names that its networks have in the library, in the library's order. It may start a process that
        imports the library, so what it finds is kept.
    spec: reads the declaration of one of them. Raises ModelError, which names near ones, for a name that the library
        does not have or a network that cannot be a model here.
    framework: that which builds its models.
    facts: counts the library's models, and all others of its framework; None where nothing counts them.
    catalogue: what is known of its networks before they are declared; None where to declare one costs nothing.
    """

    name: str
    title: str
    names: Callable[[], Sequence[str]]
    spec: Callable[[str], ModelSpec]
    framework: FrameworkName | None = None
    facts: Counting | None = None
    catalogue: Catalogue | None = None

    def known(self) -> Sequence[str]:
        """Return its names as far as they cost nothing, or none where it is not installed: for suggestions."""
        try:
            return self.names() if self.catalogue is None else self.catalogue.kept_names()
        except ModelError:
            return ()


LIBRARIES: Registry[Library] = Registry("library of models", "matlens.models.libraries", ModelError)
"""Each file of `models/libraries/` that is named for a library registers it."""


def library_of(name: str) -> tuple[Library, str] | None:
    """Return the library that a model's name begins with, and the network's name there; None for a model of no library.
    """
    prefix, slash, inside = name.partition("/")
    return (LIBRARIES[prefix], inside) if slash and prefix in LIBRARIES else None
