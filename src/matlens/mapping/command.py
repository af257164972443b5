"""Map photos one after the other, whatever is wrong with some of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.data.pixels.archives import PhotoPlace, opening
from matlens.data.pixels.problems import Problem
from matlens.data.pixels.reader import PhotoReader
from matlens.features.artifact import Artifact
from matlens.features.novelty.stored import how_to_get
from matlens.mapping.files import stems_of, write_map
from matlens.mapping.material_map import MapOptions, material_map
from matlens.mapping.sizes import MOST_PIXELS
from matlens.settings.addresses import Address
from matlens.system.console import Reporter, echo, printable, remark
from matlens.system.files import refuse_unwritable

_NAMED = 5
"""Classes that a line names."""


@dataclass(frozen=True)
class MapRequest:
    """Which photos are mapped, and how. unlisted: places that cannot be read, with the reason."""

    photos: Sequence[PhotoPlace]
    unlisted: Sequence[tuple[Path | Address, str]]
    out: Path
    options: MapOptions
    as_json: bool = False


def map_photos(artifact: Artifact, request: MapRequest, reporter: Reporter) -> int:
    """Write the maps of photos, and print a line or a JSON object for each. Returns how many could not be read.

    Raises:
        WriteError: the folder cannot be written to.
        ModelError: the artifact does not compute.
    """
    failed = 0
    for place, reason in request.unlisted:
        failed += _complain(place, reason, request.as_json)
    if not request.photos:
        return failed
    refuse_unwritable(request.out / f"{stems_of(request.photos[:1])[0]}_map.json")
    whole = True
    with opening(PhotoReader()) as opener, reporter.progress("mapping photos", len(request.photos)) as advance:
        for done, (photo, stem) in enumerate(zip(request.photos, stems_of(request.photos), strict=True), 1):
            pixels = opener.attempt(photo)
            if isinstance(pixels, Problem):
                is_missing = pixels.kind == "missing" and isinstance(photo, Path)
                failed += _complain(photo, f"there is no such file or folder in {Path(str(photo)).absolute().parent}"
                                    if is_missing else pixels, request.as_json)
                continue
            made = material_map(artifact, pixels, request.options)
            whole &= made.whole
            content = write_map(request.out, stem, photo, made, artifact, request.options)
            if request.as_json:
                line = json.dumps(content, ensure_ascii=False)
                echo(line if line.isprintable() else json.dumps(content))
            else:
                _tell(photo, request.out, content, reporter)
            advance(done, photo.name)
    if not whole:
        remark(f"{artifact.model_name} takes photos of one size alone, so that it answered overlapping windows: edges "
               "are rougher, and it takes longer.")
    if artifact.novelty is None and failed < len(request.photos) + len(request.unlisted):
        remark(f"Unknown areas are not told: {artifact.folder} does not know them. This learns it, or says why not: "
               f"{how_to_get(artifact.folder)}")
    return failed


def _tell(photo: PhotoPlace, out: Path, content: dict[str, Any], reporter: Reporter) -> None:
    classes = list(content["classes"].items())
    words = [f"{name} {100 * entry['share']:.1f} %" for name, entry in classes[:_NAMED]]
    words += [f"{len(classes) - _NAMED} more"] * (len(classes) > _NAMED)
    if content["unknown_share"]:
        words.append(f"unknown {100 * content['unknown_share']:.1f} %")
    reporter.result(f"{printable(str(photo))}: {', '.join(words)}")
    if content["size"] != content["photo_size"]:
        reporter.result(f"  its map has {content['size'][1]} x {content['size'][0]} of {content['photo_size'][1]} x "
                        f"{content['photo_size'][0]} pixels: at most {MOST_PIXELS:,} are mapped")
    reporter.written(out / content["files"]["overlay"])


def _complain(place: PhotoPlace | Address, reason: str, as_json: bool) -> int:
    if as_json:
        echo(json.dumps({"photo": str(place), "error": str(reason)}))
    else:
        echo(printable(f"error: cannot read {place}: {reason}"), err=True)
    return 1


