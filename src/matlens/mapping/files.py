"""Write the maps of photos: an overlay with a legend, a picture of class numbers, and what is known as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matlens import __version__
from matlens.data.pixels.archives import PhotoPlace
from matlens.features.artifact import Artifact
from matlens.mapping.material_map import MapOptions, MaterialMap
from matlens.mapping.picture import colour_of, numbers_picture, overlay_of, with_legend
from matlens.system.files import whole_file, write_json

FORMAT = 1


def stems_of(photos: Sequence[PhotoPlace]) -> list[str]:
    """Return what the files of each photo's map begin with: its name, with a number where that is another's, too."""
    taken: set[str] = set()
    stems = []
    for photo in photos:
        stem = "".join(letter if letter.isprintable() else "_" for letter in Path(photo.name).stem) or "photo"
        name, number = stem, 2
        while name.casefold() in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.casefold())
        stems.append(name)
    return stems


def write_map(folder: Path, stem: str, photo: PhotoPlace, made: MaterialMap, artifact: Artifact, options: MapOptions,
              ) -> dict[str, Any]:
    """Write the three files of a map into a folder. Returns what the JSON holds. Raises WriteError.

    The JSON is written last, so it is there only where the pictures are.
    """
    names = {"overlay": f"{stem}_map.png", "numbers": f"{stem}_map_classes.png", "json": f"{stem}_map.json"}
    about = made.about()
    for entry in about["classes"].values():
        entry["colour"] = colour_of(entry["number"])
    content = {"format": FORMAT, "version": __version__, "photo": str(photo), "model": artifact.model_name, **about,
               "all_classes": list(made.class_names),
               "calibration": artifact.calibrator.title if artifact.calibrator else None,
               "settings": {**asdict(options), "scales": list(options.scales)}, "files": names}
    for name, picture in ((names["overlay"], with_legend(overlay_of(made), made)),
                          (names["numbers"], numbers_picture(made))):
        with whole_file(folder / name) as partial:
            picture.save(partial, "PNG")
    write_json(folder / names["json"], content)
    return content
