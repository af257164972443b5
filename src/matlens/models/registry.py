"""The models by name. No framework is imported here."""

from __future__ import annotations

from matlens.errors import ModelError
from matlens.models.frameworks import FrameworkName
from matlens.models.library import LIBRARIES
from matlens.models.spec import ModelSpec
from matlens.system.registry import Registry


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
        """Look a model up. Raises ModelError, which names the known ones, or near ones of its library."""
        if name not in self._of_libraries:
            library, slash, inside = name.partition("/")
            if not slash or library not in LIBRARIES or super().__contains__(name):
                return super().__getitem__(name)
            self._of_libraries[name] = LIBRARIES[library].spec(inside)
        return self._of_libraries[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether there is such a model; of a library, whether it can be a model here."""
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


def spec_in(framework: FrameworkName, name: str) -> ModelSpec:
    """Look a model of one framework up. Raises ModelError where it is another framework's."""
    spec = MODELS[name]
    if spec.framework != framework:
        raise ModelError(f"{name} is built with {spec.framework}, not with {framework}.")
    return spec


def default_models() -> tuple[str, ...]:
    """Return the models of a run that names none: the guide's four."""
    return tuple(spec.name for spec in MODELS.entries() if spec.in_default_run)
