"""keras.applications as a library of models."""

from __future__ import annotations

from matlens.models.libraries.applications import application, applications
from matlens.models.library import LIBRARIES, Library, ModelFacts
from matlens.models.spec import ModelSpec


def _facts(spec: ModelSpec, img_size: tuple[int, int]) -> ModelFacts:
    import matlens.models.keras  # noqa: F401 -- it prepares the back end
    from matlens.models.keras.networks.counting import facts

    return facts(spec, img_size)


LIBRARIES.register(Library("keras", "keras.applications", applications, application, "keras", _facts))
