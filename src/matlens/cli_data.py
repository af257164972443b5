"""`matlens data`: where the photos are, what is wrong with them, how they are divided; drawn ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

data_app = typer.Typer(no_args_is_help=True, help="Find, check, count, divide and draw photos.")

Folder = Annotated[Path, typer.Argument(help="A dataset's folder.", show_default=False)]


@data_app.command()
def find(places: Annotated[list[Path] | None, typer.Argument(help="Where to look. [default: MATLENS_DATA, Kaggle's "
                                                             "input, the default data folder, here]",
                                                             show_default=False)] = None) -> None:
    """Look for datasets and say how each is laid out."""
    from matlens.data.find import find_sources

    found = find_sources(places)
    for source in found:
        splits = f", official splits {', '.join(map(str, source.split_numbers))}" if source.split_numbers else ""
        typer.echo(f"{source.root}: {source.layout}, {len(source.class_names)} classes, {len(source.photos)} photos"
                   f"{splits}")
    if not found:
        typer.echo("No dataset found. Name a folder: matlens data find DIR", err=True)
        raise typer.Exit(2)


@data_app.command()
def audit(folder: Folder, strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if something is found.")]
          = False) -> None:
    """Read every photo in full and name those that are broken. Nothing is changed."""
    from matlens.console import Reporter
    from matlens.data.integrity import check_photos
    from matlens.data.sources import open_source

    reporter = Reporter()
    source = open_source(folder)
    with reporter.progress("checking photos", len(source.photos)) as advance:
        problems = check_photos(source, lambda done, _: advance(done, ""))
    for path, reason in problems.items():
        reporter.result(f"{path}: {reason}")
    reporter.result(f"{len(problems)} of {len(source.photos)} photos cannot be read")
    if problems and strict:
        raise typer.Exit(3)


@data_app.command()
def counts(folder: Folder) -> None:
    """Count the photos of each class, in each part where the folder is divided."""
    from rich.console import Console
    from rich.table import Table

    from matlens.data.counts import count_by_part
    from matlens.data.sources import open_source

    source = open_source(folder)
    by_part = count_by_part(source)
    table = Table("class", *by_part)
    for name in source.class_names:
        table.add_row(name, *(str(counted[name]) for counted in by_part.values()))
    table.add_section()
    table.add_row("all", *(str(sum(counted.values())) for counted in by_part.values()))
    Console().print(table)


@data_app.command()
def split(folder: Folder, out: Annotated[Path, typer.Option("--out", "-o", help="Gets train/, val/ and test/.")],
          train: Annotated[float, typer.Option(help="Share for training.")] = 0.7,
          val: Annotated[float, typer.Option(help="Share for validation.")] = 0.15,
          test: Annotated[float, typer.Option(help="Share for testing.")] = 0.15,
          seed: Annotated[int, typer.Option(help="Of the division.")] = 42,
          force: Annotated[bool, typer.Option("--force", help="Replace a split that is there.")] = False) -> None:
    """Copy the readable photos into train/, val/ and test/, each class divided by the same shares."""
    from matlens.data.prepared import create_split

    made = create_split(folder, out, train, val, test, seed, force)
    typer.echo(f"{out}: " + ", ".join(f"{part} {sum(by_class.values())}" for part, by_class in made.counts().items()))


@data_app.command()
def draw(folder: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
         photos: Annotated[int, typer.Option(help="Photos of each material.", min=1)] = 40,
         size: Annotated[int, typer.Option(help="Side in pixels.", min=16)] = 96,
         seed: Annotated[int, typer.Option(help="Of the drawing.", min=0)] = 42) -> None:
    """Draw a dataset of materials, to try things out without photos."""
    from matlens.console import Reporter
    from matlens.data.synthetic import MATERIALS, draw_dataset

    reporter = Reporter()
    with reporter.progress("drawing photos", photos * len(MATERIALS)) as advance:
        draw_dataset(folder, photos_per_class=photos, size=size, seed=seed,
                     on_progress=lambda done, _: advance(done, ""))
    reporter.result(f"{folder}: {photos} photos of each of {', '.join(MATERIALS)}")
