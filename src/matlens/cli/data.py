"""`matlens data`: where photos are, or come from; what is wrong with them, how they are divided, what is kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matlens.cli.audit import audit
from matlens.cli.options import Groups, Quiet

if TYPE_CHECKING:
    from matlens.data.source.sources import Source
    from matlens.system.console import Reporter

data_app = typer.Typer(no_args_is_help=True,
                       help="Find, fetch, check, count, divide and draw photos; see and prune what is kept of them.")

Folder = Annotated[Path, typer.Argument(help="A dataset's folder.", show_default=False)]


@data_app.command()
def find(places: Annotated[list[Path] | None, typer.Argument(
        help="Where to look.", show_default="MATLENS_DATA, Kaggle's input, the default data folder, here")] = None,
        ) -> None:
    """Look for datasets and say how each is laid out, and whether one is MINC-2500, and whole.

    Example: matlens data find ~/Downloads
    """
    from matlens.data.source.find import find_sources
    from matlens.errors import DataError
    from matlens.system.console import Reporter

    reporter = Reporter()
    if missing := [str(place) for place in places or () if not place.is_dir()]:
        raise DataError(f"No such folder: {', '.join(missing)}")
    found = find_sources(places, reporter.warn)
    _tell(found, reporter)
    if not found:
        typer.echo("No dataset found. Name a folder: matlens data find DIR; or fetch one: matlens data fetch minc-2500",
                   err=True)
        raise typer.Exit(2)


@data_app.command()
def fetch(name: Annotated[str, typer.Argument(help="minc-2500, or owner/slug of a dataset on Kaggle.",
                                              show_default=False)],
          to: Annotated[Path | None, typer.Option(help="The dataset's folder.", show_default="minc-2500: the default "
                                                  "data folder, on Kaggle /kaggle/tmp/minc-2500; owner/slug: "
                                                  "kagglehub's cache")] = None,
          url: Annotated[str | None, typer.Option(help="With minc-2500: another place that has its archive (http, "
                                                  "https or file).", show_default="its authors' server")] = None,
          sha1: Annotated[str | None, typer.Option(help="With minc-2500: the archive's SHA-1.", show_default="that of "
                                                   "its authors' archive")] = None,
          keep_archive: Annotated[bool, typer.Option("--keep-archive", help="With minc-2500: do not remove the archive "
                                                     "after unpacking.", show_default=False)] = False,
          quiet: Quiet = False) -> None:
    """Download a dataset. What was interrupted goes on with the same command.

    Example: matlens data fetch minc-2500
    """
    from matlens.data.source import minc
    from matlens.errors import SettingsError
    from matlens.system.console import Reporter

    reporter = Reporter(quiet)
    if name == "minc-2500":
        from matlens.data.source.fetch import default_place, fetch_minc

        found = [fetch_minc(to or default_place(), reporter, url=url or minc.ARCHIVE_URL,
                            sha1=sha1 or minc.ARCHIVE_SHA1, keep_archive=keep_archive)]
    elif re.fullmatch(r"[\w-]+/[\w.-]+", name):
        from matlens.data.source.kaggle import fetch_from_kaggle

        if url or sha1 or keep_archive:
            raise SettingsError("--url, --sha1 and --keep-archive are about the archive of minc-2500; "
                                f"{name} comes from Kaggle.")
        found = fetch_from_kaggle(name, to)
    else:
        raise SettingsError(f"{name}: give minc-2500, or owner/slug of a dataset on Kaggle, as in the address of its "
                            "page.")
    _tell(found, reporter)


def _tell(sources: list[Source], reporter: Reporter) -> None:
    """A line about each dataset, and in what one that is MINC-2500 differs from it."""
    from matlens.data.source import minc

    for source in sources:
        splits = f", official splits {', '.join(map(str, source.split_numbers))}" if source.split_numbers else ""
        known = source.layout == "minc" and minc.is_minc_2500(source)
        wrong = minc.deviations(source) if known else []
        whole = f"; MINC-2500, {'not ' if wrong else ''}whole" if known else ""
        reporter.result(f"{source.root}: {source.layout}, {len(source.class_names)} classes, {len(source.photos)} "
                        f"photos{splits}{whole}")
        for sentence in wrong:
            reporter.result(f"  {sentence}")


data_app.command()(audit)


@data_app.command()
def counts(folder: Folder,
           png: Annotated[Path | None, typer.Option("--png", help="Draw the bars: .png, .svg or .pdf.",
                                                    show_default=False)] = None,
           json: Annotated[Path | None, typer.Option("--json", help="Write the numbers: {part: {class: photos}}.",
                                                     show_default=False)] = None) -> None:
    """Count the photos of each class, in each part where the folder is divided.

    Example: matlens data counts photos --png counts.png
    """
    from rich.console import Console

    from matlens.data.displays import ClassBars
    from matlens.data.source.sources import open_source
    from matlens.system.figures import save_figure
    from matlens.system.files import write_json

    if png is not None:
        _refuse_no_picture(png, "--png")
    bars = ClassBars.from_source(open_source(folder))
    console = Console()
    console.print(bars.table(console.width, blocks=console.encoding.lower().startswith("utf")))
    if json is not None:
        write_json(json, bars.by_part)
    if png is not None:
        save_figure(bars.draw(), png)


@data_app.command()
def samples(folder: Folder,
            out: Annotated[Path, typer.Option("--out", "-o", help="The picture: .png, .svg or .pdf.")],
            per_class: Annotated[int, typer.Option(help="Photos of each class.", min=1, max=50)] = 6,
            seed: Annotated[int, typer.Option(help="Of the choice.", min=0)] = 42) -> None:
    """Draw photos of each class side by side; those that cannot be read are passed over.

    Example: matlens data samples photos --out samples.png
    """
    from matlens.data.displays import SampleGrid
    from matlens.data.source.sources import open_source
    from matlens.system.console import Reporter
    from matlens.system.figures import save_figure

    _refuse_no_picture(out, "--out")
    source, reporter = open_source(folder), Reporter()
    with reporter.progress("reading samples", len(source.class_names)) as advance:
        grid = SampleGrid.from_source(source, per_class, seed, lambda done, _: advance(done, ""))
    save_figure(grid.draw(), out)
    reporter.result(f"{out}: {sum(map(len, grid.rows.values()))} photos of {len(grid.rows)} classes")


def _refuse_no_picture(file: Path, option: str) -> None:
    from matlens.errors import SettingsError

    if file.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise SettingsError(f"{option} {file}: a picture's name ends in .png, .svg or .pdf.")


@data_app.command()
def split(folder: Folder, out: Annotated[Path, typer.Option("--out", "-o", help="Gets train/, val/ and test/.")],
          train: Annotated[float, typer.Option(help="Share for training.")] = 0.7,
          val: Annotated[float, typer.Option(help="Share for validation.")] = 0.15,
          test: Annotated[float, typer.Option(help="Share for testing.")] = 0.15,
          seed: Annotated[int, typer.Option(help="Of the division.")] = 42,
          groups: Groups = None,
          force: Annotated[bool, typer.Option("--force", help="Replace a split that is there.")] = False) -> None:
    """Copy the readable photos into train/, val/ and test/, each class divided by the same shares."""
    from matlens.notebook.prepared import create_split

    made = create_split(folder, out, train, val, test, seed, force, groups=groups)
    typer.echo(f"{out}: " + ", ".join(f"{part} {sum(by_class.values())}" for part, by_class in made.counts().items()))


@data_app.command()
def store(
    table: Annotated[bool, typer.Option("--list", help="Show what is kept, the last used first (this is done anyway "
                                        "without --prune).",
                                        show_default=False)] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove what killed runs left over, then what was not used for "
                                        "longest, until the rest keeps to the limit.", show_default=False)] = False,
    limit: Annotated[float | None, typer.Option(help="With --prune: GB that may stay.", min=0,
                                                show_default="the setting cache_limit: 20")] = None,
    everything: Annotated[bool, typer.Option("--all", help="With --prune: remove everything that is not in use.",
                                             show_default=False)] = False,
    cache_dir: Annotated[Path | None, typer.Option(help="The cache's folder.",
                                                   show_default="MATLENS_CACHE or the platform's cache folder")] = None,
) -> None:
    """See what is kept between runs, and make room.

    Kept are decoded photos (pixels), converted networks (trunks) and what those say of photos (features).

    A run makes again what it misses, so removing costs time only. What a living run uses is never removed.

    Example: matlens data store --prune --limit 5
    """
    from rich.filesize import decimal

    from matlens.errors import SettingsError
    from matlens.settings.schema import notebook_settings
    from matlens.system import caches

    if (limit is not None) + everything > prune:
        raise SettingsError("--limit GB and --all say how far to --prune: give --prune with one of them, or alone.")
    settings = notebook_settings()
    folder = settings.cache_dir if cache_dir is None else cache_dir
    if not folder.is_dir():
        typer.echo(f"{folder} is no folder yet: matlens run keeps decoded photos and features there.")
        return
    most = 0 if everything else settings.cache_limit if limit is None else limit
    if prune:
        pruned = caches.prune(folder, most * 1e9)
        freed = decimal(sum(entry.size for entry in pruned.removed) + pruned.left_over)
        typer.echo(f"{folder}: removed {len(pruned.removed)} ({freed}); {decimal(pruned.left)} left")
        if pruned.left > most * 1e9:
            typer.echo("What is left is in use, or cannot be removed: matlens data store shows it.")
    if table or not prune:
        _show_kept(folder, settings.cache_limit)


def _show_kept(folder: Path, limit: float) -> None:
    from rich.console import Console
    from rich.filesize import decimal
    from rich.table import Table

    from matlens.system import caches

    kept = caches.entries(folder)[::-1]
    if kept:
        shown = Table("kind", "what", "size", "last used", "in use")
        for entry in kept:
            shown.add_row(entry.kind, entry.what, decimal(entry.size), f"{entry.last_used:%Y-%m-%d %H:%M}",
                          "yes" if caches.in_use(entry.folder) else "")
        Console().print(shown)
        total = decimal(sum(entry.size for entry in kept))
        typer.echo(f"{folder}: {total}, limit {limit:g} GB (cache_limit)")
    else:
        typer.echo(f"{folder} holds nothing: matlens run keeps decoded photos and features there.")
    if left := caches.left_overs(folder):
        typer.echo(f"{len(left)} left over by killed runs, {decimal(sum(map(caches.size_of, left)))}: matlens data "
                   "store --prune removes that.")


@data_app.command()
def draw(folder: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
         photos: Annotated[int, typer.Option(help="Photos of each material.", min=1)] = 40,
         size: Annotated[int, typer.Option(help="Side in pixels.", min=16)] = 96,
         seed: Annotated[int, typer.Option(help="Of the drawing.", min=0)] = 42) -> None:
    """Draw a dataset of materials, to try things out without photos."""
    from matlens.data.drawn.synthetic import MATERIALS, draw_dataset
    from matlens.system.console import Reporter

    reporter = Reporter()
    with reporter.progress("drawing photos", photos * len(MATERIALS)) as advance:
        draw_dataset(folder, photos_per_class=photos, size=size, seed=seed,
                     on_progress=lambda done, _: advance(done, ""))
    reporter.result(f"{folder}: {photos} photos of each of {', '.join(MATERIALS)}")
