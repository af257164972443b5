"""The models by name. No framework is imported here."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from matlens.errors import ModelError
from matlens.models.frameworks import FrameworkName
from matlens.models.library import LIBRARIES, library_of
from matlens.models.spec import ModelSpec
from matlens.system.console import command
from matlens.system.registry import Registry, did_you_mean, near


def file_stem(name: str) -> str:
    """Return the name of a model's files: the model's own, in which `/` would be a folder."""
    return name.replace("/", "-")


class Models(Registry[ModelSpec]):
    """The models that are declared, and by their names those of libraries (`timm/resnet18`).

    It iterates over the declared ones alone: a library has hundreds.
    """

    def __init__(self) -> None:
        """Make a registry of the models of `models/zoo/`."""
        super().__init__("model", "matlens.models.zoo", ModelError, same=lambda name: file_stem(name).casefold())
        self._of_libraries: dict[str, ModelSpec] = {}

    def __getitem__(self, name: str) -> ModelSpec:
        """Look a model up. Raises ModelError, which names near ones and says why a library's cannot be a model here."""
        if name not in self._of_libraries:
            if super().__contains__(name):
                return super().__getitem__(name)
            if (found := library_of(name)) is None:
                raise ModelError(self._unknown(name))
            library, inside = found
            self._of_libraries[name] = library.spec(inside)
        return self._of_libraries[name]

    def _unknown(self, name: str) -> str:
        meant = did_you_mean(name, self)
        for library in [] if meant else LIBRARIES.entries():
            meant = meant or did_you_mean(name, library.known(), f"{library.name}/")
        libraries = " or ".join(library.title for library in LIBRARIES.entries())
        choice = "" if meant else f" Choose from {', '.join(self)}, or a network of {libraries}."
        return f"Unknown model '{name}'.{meant}{choice}{self.hint()} List all with: matlens models"

    def __contains__(self, name: object) -> bool:
        """Tell whether there is such a model; of a library, whether it can be a model here.

        Whoever would refuse it asks for it instead: the error says why.
        """
        if super().__contains__(name):
            return True
        try:
            self[str(name)]
        except ModelError:
            return False
        return True


MODELS = Models()
"""Each file of `models/zoo/` registers the models that it declares."""

register = MODELS.register


def spec_of(name: str) -> ModelSpec:
    """Look a model up. Raises ModelError, which names the known ones."""
    return MODELS[name]


def is_pattern(name: str) -> bool:
    """Return whether a name has letters that stand for others, which no model's has."""
    return any(letter in name for letter in "*?[")


def names_matching(pattern: str) -> tuple[str, ...]:
    """Return the names of the models that fit a pattern such as `keras/EfficientNetV2*`; case does not matter.

    A library's networks fit only a pattern that begins with the library's name.

    Raises:
        ModelError: nothing fits; near names are named. Or the library is not installed.
    """
    names = list(MODELS)
    if (found := library_of(pattern)) is not None:
        library, _ = found
        names = list(dict.fromkeys([*names, *(f"{library.name}/{name}" for name in library.names())]))
    fitting = tuple(name for name in names if fnmatch.fnmatchcase(name.casefold(), pattern.casefold()))
    if not fitting:
        raise ModelError(f"No model fits '{pattern}'.{_meant_by(pattern, names)} There are {', '.join(MODELS)}, and "
                         f"those of {', '.join(f'{library}/*' for library in LIBRARIES)}: matlens models lists them.")
    return fitting


def _meant_by(pattern: str, names: Sequence[str]) -> str:
    """Return " Did you mean ...?" for a pattern that nothing fits; or where to look for it, or ""."""
    library, slash, inside = pattern.partition("/")
    if slash and library not in LIBRARIES:
        return "".join(f" Did you mean '{close}/{inside}'?" for close in near(library, LIBRARIES)[:1])
    letters = "".join(letter for letter in pattern if letter not in "*?[]")
    if meant := [library for library in LIBRARIES if letters.casefold().rstrip("/") == library]:
        return f" The networks of {meant[0]} are listed by: {command('models', f'{meant[0]}/*')}."
    elsewhere = [] if slash else [command("models", f"{library}/*{letters}*") for library in LIBRARIES]
    return did_you_mean(letters, names) + (f" In libraries: {' or '.join(elsewhere)}." if elsewhere else "")


def look_at(names: Sequence[str]) -> None:
    """Look at networks of libraries all at once, where one by one each would take a process. Raises ModelError."""
    found = [of_library for name in names if (of_library := library_of(name)) is not None]
    for library in LIBRARIES.entries():
        inside = [network for owner, network in found if owner is library]
        if library.catalogue is not None and len(inside) > 1:
            library.catalogue.look(inside)


def spec_in(framework: FrameworkName, name: str) -> ModelSpec:
    """Look a model of one framework up. Raises ModelError where it is another framework's."""
    spec = MODELS[name]
    if spec.framework != framework:
        raise ModelError(f"{name} is built with {spec.framework}, not with {framework}.")
    return spec


def default_models() -> tuple[str, ...]:
    """Return the models of a run that names none: the guide's four."""
    return tuple(spec.name for spec in MODELS.entries() if spec.in_default_run)
