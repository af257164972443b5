"""The models by name. No framework is imported here."""

from __future__ import annotations

from matlens.errors import ModelError
from matlens.models.spec import ModelSpec
from matlens.system.registry import Registry

MODELS: Registry[ModelSpec] = Registry("model", "matlens.models.zoo", ModelError)
"""Each file of `models/zoo/` registers the models that it declares."""

register = MODELS.register


def spec_of(name: str) -> ModelSpec:
    """Look a model up. Raises ModelError, which names the known ones."""
    return MODELS[name]


def default_models() -> tuple[str, ...]:
    """The models of a run that names none: the guide's four."""
    return tuple(spec.name for spec in MODELS.entries() if spec.in_default_run)


def file_stem(name: str) -> str:
    """How the files of a model are called: its name, in which `/` would be a folder."""
    return name.replace("/", "-")
