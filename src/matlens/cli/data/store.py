"""`matlens data store`: what the cache holds, and making room."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from matlens.cli.options import CacheDir


def store(
    table: Annotated[bool, typer.Option("--list", help="Show what the cache holds, the last used first. Without "
                                        "--prune this is done in any case.",
                                        show_default=False)] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Remove what killed runs left over, then what was unused for "
                                        "longest, until the rest keeps to the limit.", show_default=False)] = False,
    limit: Annotated[float | None, typer.Option(help="With --prune: how many GB may stay.", min=0,
                                                show_default="the setting cache_limit: 20")] = None,
    everything: Annotated[bool, typer.Option("--all", help="With --prune: remove everything that is not in use.",
                                             show_default=False)] = False,
    cache_dir: CacheDir = None,
) -> None:
    """Show what the cache holds, and make room in it.

    The cache holds decoded photos (pixels), which of them are copies (copies), converted networks (trunks), their
    outputs for photos (features, activations), what audits measured (facts), and the sizes of models (counts).
    What is of photos lies in shards of at most 4,096 photos.

    A run makes again what it misses, so removing costs time only. matlens never removes what a living run uses.

    Example: matlens data store --prune --limit 5
    """
    from rich.filesize import decimal

    from matlens.errors import SettingsError
    from matlens.settings.knobs import notebook_setting
    from matlens.system import caches
    from matlens.system.console import echo
    from matlens.system.ownership.cache_content import MARKER_NAME, is_cache

    if (limit is not None) + everything > prune:
        raise SettingsError("--limit GB and --all say how far to --prune: give --prune with one of them, or alone.")
    folder = notebook_setting("cache_dir") if cache_dir is None else cache_dir
    if not folder.is_dir():
        echo(f"{folder} is no folder yet: matlens run keeps decoded photos and features there.")
        return
    most = 0 if everything else notebook_setting("cache_limit") if limit is None else limit
    if prune and any(folder.iterdir()) and not is_cache(folder):
        echo(f"{folder} is not a cache of matlens: it holds no {MARKER_NAME} of matlens. Nothing was "
                   "removed. The cache's folder is named with --cache-dir.")
        return
    if prune:
        pruned = caches.prune(folder, most * 1e9)
        freed = decimal(sum(entry.size for entry in pruned.removed) + pruned.left_over)
        echo(f"{folder}: removed {len(pruned.removed)} ({freed}); {decimal(pruned.left)} left")
        if pruned.left > most * 1e9:
            echo("What is left is in use, or cannot be removed: matlens data store shows it.")
    if table or not prune:
        _show_content(folder, notebook_setting("cache_limit"))


def _show_content(folder: Path, limit: float) -> None:
    from rich.console import Console
    from rich.filesize import decimal
    from rich.table import Table

    from matlens.system import caches
    from matlens.system.console import echo

    entries = caches.entries(folder)[::-1]
    if entries:
        shown = Table("kind", "what", "size", "last used", "in use")
        together: dict[object, list[caches.CacheEntry]] = {}
        for entry in entries:
            together.setdefault((entry.kind, entry.stage or entry.folder), []).append(entry)
        for first, *more in together.values():
            others = f"; {len(more):,} more shard{'s' * (len(more) != 1)} of the same" if more else ""
            shown.add_row(first.kind, first.what + others, decimal(sum(entry.size for entry in (first, *more))),
                          f"{first.last_used:%Y-%m-%d %H:%M}",
                          "yes" if any(caches.in_use(entry.folder) for entry in (first, *more)) else "")
        Console().print(shown)
        total = decimal(sum(entry.size for entry in entries))
        echo(f"{folder}: {total}, limit {limit:g} GB (cache_limit)")
    else:
        echo(f"{folder} holds nothing: matlens run keeps decoded photos and features there.")
    if left := caches.left_overs(folder):
        echo(f"{len(left)} left over by killed runs, {decimal(sum(map(caches.size_of, left)))}: matlens data "
             "store --prune removes that.")
