"""A library of backbones: any of its networks is a model, read from what the library says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matlens.errors import ModelError
from matlens.models.frameworks import FrameworkName
from matlens.models.spec import ModelSpec
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
    kept_names: returns the names as far as they are known without a process, for suggestions; None: `names` takes none.
    look: reads the declarations of several networks at once, where that saves processes; None where it does not.
    """

    name: str
    title: str
    names: Callable[[], Sequence[str]]
    spec: Callable[[str], ModelSpec]
    framework: FrameworkName | None = None
    facts: Counting | None = None
    kept_names: Callable[[], Sequence[str]] | None = None
    look: Callable[[Sequence[str]], object] | None = None

    def known(self) -> Sequence[str]:
        """Return its names as far as they cost nothing, or none where it is not installed: for suggestions."""
        try:
            return (self.kept_names or self.names)()
        except ModelError:
            return ()


LIBRARIES: Registry[Library] = Registry("library of models", "matlens.models.libraries", ModelError)
"""Each file of `models/libraries/` that is named for a library registers it."""
