"""Share among the commands of `matlens data` what several of them do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from matlens.cli.frame.places import photos_place

if TYPE_CHECKING:
    from matlens.data.source.sources import Source
    from matlens.settings.addresses import Address
    from matlens.system.console import Reporter

Dataset = Annotated[Any, typer.Argument(help="A dataset's folder, or its address, such as s3://bucket/photos.",
                                        metavar="FOLDER", parser=photos_place, show_default=False)]
"""A path or an address."""


def folder_of(dataset: Path | Address, reporter: Reporter, cache_dir: Path | None = None) -> Path:
    """Return the folder of a dataset; the photos at an address are brought into the cache. Raises DataError."""
    if isinstance(dataset, Path):
        return dataset
    from matlens.data.remote.bring import bring
    from matlens.settings.knobs import notebook_setting

    return bring(dataset, cache_dir or notebook_setting("cache_dir"), notebook_setting("cache_limit"), reporter)


def tell_sources(sources: list[Source], reporter: Reporter) -> None:
    """Print a line about each dataset, in what a copy of MINC-2500 differs, and what is not used."""
    from matlens.data.layout.remarks import notes_of, remarks_of
    from matlens.data.source import minc

    for source in sources:
        splits = f", official splits {', '.join(map(str, source.split_numbers))}" if source.split_numbers else ""
        is_minc = source.layout == "minc" and minc.is_minc_2500(source)
        deviations = minc.deviations(source) if is_minc else []
        whole = f"; MINC-2500, {'not ' if deviations else ''}whole" if is_minc else ""
        reporter.result(f"{source.root}: {source.layout}, {len(source.class_names)} classes, {len(source.photos)} "
                        f"photos{splits}{whole}")
        for sentence in (*deviations, *remarks_of(source), *notes_of(source)):
            reporter.result(f"  {sentence}")


def refuse_no_picture(file: Path, option: str) -> None:
    """Raise SettingsError, which names the option, where a file's name is not that of a picture."""
    from matlens.errors import SettingsError

    if file.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise SettingsError(f"{option} {file}: a picture's name ends in .png, .svg or .pdf.")
