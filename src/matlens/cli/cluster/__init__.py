"""`matlens cluster`: look at a Ray cluster."""

from __future__ import annotations

import typer

from matlens.cli.frame.group import LazyGroup


class _Commands(LazyGroup):
    package = __name__
    names = ("check",)


app = typer.Typer(cls=_Commands, no_args_is_help=True, rich_markup_mode=None,
                  help="Say what is wrong with a Ray cluster on which matlens run --on ray trains.")
