"""The command line: `matlens` and its subcommands, in the order of the flow."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from matlens import __version__
from matlens.cli.frame.group import LazyGroup
from matlens.cli.frame.slips import is_slip, told
from matlens.errors import MatlensError, OutOfMemoryError
from matlens.settings.typed import typed_options
from matlens.system.console import complain, printable
from matlens.system.files import why_unwritable
from matlens.system.resources import MORE_MEMORY, is_want_of_memory, of_limit, too_little_memory
from matlens.system.stopping import orderly_stop, prepare_streams
from matlens.system.untrusted import in_short

_LONGEST_MESSAGE = 4000
"""The most letters of an error; a list of classes may be long, and a stranger's file longer."""


class _Commands(LazyGroup):
    package = "matlens.cli"
    names = ("demo", "run", "train", "evaluate", "explain", "labels", "review", "suggest", "rerun", "compare",
             "predict", "map", "serve", "export", "models", "data", "cluster")
    folders = dict.fromkeys(("labels", "review", "suggest"), "labelling")


app = typer.Typer(
    cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with matlens demo, or matlens run PHOTOS on a folder of class folders. Help on a command: "
           "matlens run --help")


@app.callback(invoke_without_command=True)
def main_options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (works anywhere on the line).")] = False,
) -> None:
    """See what things are made of: train, judge, explain and compare image classifiers of materials."""
    if version:
        typer.echo(f"matlens {__version__}")
        raise typer.Exit


def _say_error(message: str) -> None:
    complain(printable(in_short(message, _LONGEST_MESSAGE)), "red", "error")


def _named(place: Any) -> str:
    return "" if place is None else os.fsdecode(place) if isinstance(place, bytes | str | os.PathLike) else str(place)


def _refuse_little_memory(arguments: list[str]) -> None:
    """Raise OutOfMemoryError before libraries are loaded that crash where memory is short."""
    if not {"-h", "--help", "--version"} & {*arguments, *(["--help"] if not arguments else [])}:
        reason = too_little_memory()
        if reason is not None:
            raise OutOfMemoryError(reason)


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 2 the user can mend it, 1 a defect of matlens, 130 interrupted, 141 nobody reads the output.
    """
    debug = "--debug" in sys.argv[1:]
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    prepare_streams()
    os.environ.pop("MPLBACKEND", None)  # pictures go to files; a notebook's backend may not be installed for a command
    # Looking for Pydantic's plugins reads the description of every installed package, and matlens has none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with orderly_stop():
        try:
            _refuse_little_memory(arguments)
            with typed_options():
                code = app(arguments, prog_name="matlens", standalone_mode=False)
            raise SystemExit(code or 0)
        except Exception as error:
            if debug:
                raise
            raise SystemExit(_told(error)) from None


def _told(error: Exception) -> int:
    """Print what ended the command. Returns its exit code."""
    if is_slip(error):
        if message := told(error):
            _say_error(message)
        else:
            typer.echo(error.ctx.get_help())  # type: ignore[attr-defined]
        return 2
    if isinstance(error, MatlensError):
        _say_error(str(error))
        return error.exit_code
    if is_want_of_memory(error):
        _say_error(f"The memory that matlens may use{of_limit()} does not suffice ({type(error).__name__}: "
                   f"{in_short(str(error))}). What was finished before is kept. {MORE_MEMORY}")
        return 2
    if isinstance(error, OSError) and (error.filename is not None or why_unwritable(error)):
        _say_error(": ".join(filter(None, (_named(error.filename), error.strerror))) + ". What was finished before "
                   "is kept. Fix the problem, then run the same command again.")
        return 2
    complain(printable(f"{type(error).__name__}: {error}. Please report it with what --debug adds to this command "
                       "shows."), "red", "matlens has a defect")
    return 1
