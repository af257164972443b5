"""`matlens data fetch`: datasets from the network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from matlens.cli.data.shared import tell_sources
from matlens.cli.options import Quiet


def fetch(name: Annotated[str, typer.Argument(help="minc-2500, or owner/slug of a dataset on Kaggle.",
                                              show_default=False)],
          to: Annotated[Path | None, typer.Option(help="The folder for the dataset.", show_default="minc-2500: the "
                                                  "default data folder, on Kaggle /kaggle/tmp/minc-2500; owner/slug: "
                                                  "kagglehub's cache")] = None,
          url: Annotated[str | None, typer.Option(help="With minc-2500: another address of its archive (http, "
                                                  "https or file).", show_default="its authors' server")] = None,
          sha1: Annotated[str | None, typer.Option(help="With minc-2500: the SHA-1 of the archive.",
                                               show_default="that of its authors' archive")] = None,
          keep_archive: Annotated[bool, typer.Option("--keep-archive", help="With minc-2500: leave the archive there "
                                                     "after unpacking it.", show_default=False)] = False,
          quiet: Quiet = False) -> None:
    """Download a dataset. What was interrupted goes on with the same command.

    Example: matlens data fetch minc-2500
    """
    from matlens.data.source import minc
    from matlens.errors import SettingsError
    from matlens.system.console import Reporter, command

    reporter = Reporter(quiet)
    if name == "minc-2500":
        from matlens.data.source.fetch import default_place, fetch_minc

        sources = [fetch_minc(to or default_place(), reporter, url=url or minc.ARCHIVE_URL,
                            sha1=sha1 or minc.ARCHIVE_SHA1, keep_archive=keep_archive)]
    elif re.fullmatch(r"[\w-]+/[\w.-]+", name):
        from matlens.data.source.kaggle import fetch_from_kaggle

        if url or sha1 or keep_archive:
            raise SettingsError("--url, --sha1 and --keep-archive are about the archive of minc-2500; "
                                f"{name} comes from Kaggle.")
        sources = fetch_from_kaggle(name, to)
    else:
        if page := re.match(r"https?://(?:www\.)?kaggle\.com/(?:datasets/)?([\w-]+/[\w.-]+)", name):
            raise SettingsError(f"{name} is the address of a page. Fetch its dataset with: "
                                f"{command('data', 'fetch', page[1])}")
        raise SettingsError(f"{name}: give minc-2500, or owner/slug of a dataset on Kaggle, as in the address of its "
                            "page.")
    tell_sources(sources, reporter)
