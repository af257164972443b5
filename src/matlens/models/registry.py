"""The models by name. No framework is imported here."""

from __future__ import annotations

from matlens.errors import ModelError
from matlens.models.frameworks import FrameworkName
from matlens.models.spec import ModelSpec
from matlens.system.registry import Registry


def file_stem(name: str) -> str:
    """Return the name of a model's files: the model's own, in which `/` would be a folder."""
    return name.replace("/", "-")


MODELS: Registry[ModelSpec] = Registry("model", "matlens.models.zoo", ModelError,
                                       same=lambda name: file_stem(name).casefold())
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
