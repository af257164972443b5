"""Write the maps of photos: an overlay with a legend, a picture of class numbers, and what is known as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from matlens import __version__
from matlens.data.pixels.archives import PhotoPlace
from matlens.errors import WriteError
from matlens.features.artifact import Artifact
from matlens.mapping.material_map import MapOptions, MaterialMap
from matlens.mapping.picture import colour_of, numbers_picture, overlay_of, with_legend
from matlens.system.files import read_json, whole_file, write_json
from matlens.system.untrusted import UNREADABLE, open_regular

FORMAT = 1

_WRITTEN_BY = ("Software", "matlens map")
"""The text in a picture by which it is known again."""


_UNREADABLE_PICTURE: tuple[type[Exception], ...] = (*UNREADABLE, SyntaxError, Image.DecompressionBombError)


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
    """Write the three files of a map into a folder. Returns what the JSON holds.

    The JSON is written last, so it is there only where the pictures are.

    Raises WriteError, also where a file of such a name lies that is no map's.
    """
    names = {"overlay": f"{stem}_map.png", "numbers": f"{stem}_map_classes.png", "json": f"{stem}_map.json"}
    about = made.about()
    for entry in about["classes"].values():
        entry["colour"] = colour_of(entry["number"])
    content = {"format": FORMAT, "version": __version__, "photo": str(photo), "model": artifact.model_name, **about,
               "all_classes": list(made.class_names),
               "calibration": artifact.calibrator.title if artifact.calibrator else None,
               "settings": {**asdict(options), "scales": list(options.scales)}, "files": names}
    for name in names.values():
        if (folder / name).exists() and not _is_of_a_map(folder / name):
            raise WriteError(f"{folder / name} is there already, and is not of a map that matlens wrote. Name another "
                             "folder with --out.")
    about_picture = PngInfo()
    about_picture.add_text(*_WRITTEN_BY)
    for name, picture in ((names["overlay"], with_legend(overlay_of(made), made)),
                          (names["numbers"], numbers_picture(made))):
        with whole_file(folder / name) as partial:
            picture.save(partial, "PNG", pnginfo=about_picture)
    write_json(folder / names["json"], content)
    return content


def _is_of_a_map(path: Path) -> bool:
    """Return whether matlens wrote a file: a picture by what it says of itself, a JSON by what it holds."""
    try:
        if path.suffix == ".json":
            return bool({"photo", "all_classes", "unknown_share"} <= read_json(path).keys())
        with open_regular(path) as file, Image.open(file, formats=["PNG"]) as picture:
            return bool(picture.info.get(_WRITTEN_BY[0]) == _WRITTEN_BY[1])
    except _UNREADABLE_PICTURE:
        return False
