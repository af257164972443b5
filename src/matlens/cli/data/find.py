"""`matlens data find`: where datasets are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from matlens.cli.data.shared import tell_sources
from matlens.cli.frame.places import photos_place


def find(places: Annotated[list[Any] | None, typer.Argument(
        help="The folders to look in, and addresses, whose listings are read.", metavar="PLACE", parser=photos_place,
        show_default="MATLENS_DATA, Kaggle's input, the default data folder, here")] = None) -> None:
    """Look for datasets and say how each is laid out, and whether one is MINC-2500, and whole.

    Examples: matlens data find ~/Downloads

    matlens data find s3://bucket/photos
    """
    from matlens.data.remote.look import seen_at
    from matlens.data.source.find import find_sources
    from matlens.errors import DataError
    from matlens.system.console import Reporter, echo

    reporter = Reporter()
    addresses = [place for place in places or () if not isinstance(place, Path)]
    for address in addresses:
        reporter.result(seen_at(address, reporter.say))
    places = [place for place in places if isinstance(place, Path)] if places else places
    if addresses and not places:
        return
    if missing := [str(place) for place in places or () if not place.is_dir()]:
        raise DataError(f"No such folder: {', '.join(missing)}")
    sources = find_sources(places, reporter.warn)
    tell_sources(sources, reporter)
    if not sources:
        echo("No dataset found. Name a folder: matlens data find DIR; or fetch one: matlens data fetch minc-2500",
             err=True)
        raise typer.Exit(2)
