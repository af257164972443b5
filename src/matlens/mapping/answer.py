"""A map as a JSON value, as the server answers."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image

from matlens.features.artifact import Artifact
from matlens.mapping.material_map import MapOptions, material_map
from matlens.mapping.picture import legend_of, numbers_picture, overlay_of
from matlens.types import Pixels


def map_answer(name: str, artifact: Artifact, photo: Pixels, options: MapOptions) -> dict[str, Any]:
    """Map a photo (H, W, 3) uint8: `model` (as given), legend, overlay and class numbers (PNG in base64), and more.

    Raises ModelError.
    """
    made = material_map(artifact, photo, options)
    return {"model": name, **made.about(), "legend": legend_of(made),
            "overlay": _base64(Image.fromarray(overlay_of(made))), "numbers": _base64(numbers_picture(made))}


def _base64(picture: Image.Image) -> str:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode("ascii")
