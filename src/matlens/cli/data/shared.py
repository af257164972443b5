"""Share among the commands of `matlens data` what several of them do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from matlens.data.source.sources import Source
    from matlens.system.console import Reporter

Folder = Annotated[Path, typer.Argument(help="A dataset's folder.", show_default=False)]


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
