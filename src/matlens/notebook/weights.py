"""ImageNet weights for a model that a notebook builds."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from matlens.models.registry import spec_of
from matlens.models.spec import Options
from matlens.models.weights import WeightsChoice, find_weights
from matlens.settings.knobs import notebook_setting
from matlens.system.console import Reporter


def weights_for_notebook(name: str, choice: WeightsChoice, folder: Path | str | None, *,
                         options: Options = MappingProxyType({}), side: int = 224) -> Path | None:
    """Return the file that a model in a notebook starts from; warn where there is none. Raises WeightsError.

    folder: where to look before the framework's own cache; by default the settings' `weights_dir`.
    """
    place = folder or notebook_setting("weights_dir")
    start = find_weights(spec_of(name), choice, Path(place) if place else None, options=options, side=side)
    if start.remark:
        Reporter().warn(f"{name}: {start.remark}")
    return start.path
