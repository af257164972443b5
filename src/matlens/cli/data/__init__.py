"""`matlens data`: where photos are, what is wrong with them, how they are divided, what the cache holds of them."""

from __future__ import annotations

import typer

from matlens.cli.frame.group import LazyGroup


class _Commands(LazyGroup):
    package = __name__
    names = ("find", "fetch", "audit", "counts", "samples", "split", "store", "draw")


app = typer.Typer(cls=_Commands, no_args_is_help=True, rich_markup_mode=None,
                  help="Find, fetch, check, count, divide and draw photos; show and prune the cache.")
