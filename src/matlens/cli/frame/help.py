"""Write the help of a command so that it fits the screen: main options first, and all of them on `--help-all`.

A parameter is read by the attributes that typer and click share, so that this works with any version of them.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console

from matlens.system.console import on_screen, wrapped

MORE = "More"
"""The panel of options that only `--help-all` shows; under that they stand with the others."""

_ALL = "matlens.help_all"
_WIDEST, _NARROWEST = 100, 40
_LEFT = 26
"""Columns for the words of an option; where they are more, the help begins on the next line."""

_EXAMPLE = re.compile(r"(?:Examples?: )?(?=matlens )")
_SENTENCE = re.compile(r"(?<=[^.]\.) |(?<= \.\.\.) (?=minc)")
"""Where a sentence of help ends."""


def show_all(context: Any, _: Any, asked: bool) -> None:
    """Print the help with all options and end the command: the callback of `--help-all`."""
    import typer

    if asked and not context.resilient_parsing:
        context.meta[_ALL] = True
        typer.echo(context.get_help())
        raise typer.Exit


def help_of(command: Any, context: Any, commands: Iterable[tuple[str, str]] = ()) -> str:
    """Return the help of a command, or of a group with the names and help of its commands."""
    console = Console()
    columns = max(min(on_screen(console) or 80, _WIDEST), _NARROWEST)
    everything = bool(context.meta.get(_ALL))
    parameters = command.get_params(context)
    brief = not everything and any(not _panel_of(parameter)[1] for parameter in parameters)
    shown, hidden = _by_panel(parameters, everything, brief)
    usage = " ".join([context.command_path, *_usage(command, context)])
    lines = [f"{_bold(console, 'Usage:')} {usage}", "", *_paragraphs(command.help or "", columns)]
    for title, entries in (*shown.items(), ("Commands", list(commands))):
        if entries:
            lines += ["", _bold(console, title), *_definitions(entries, columns)]
    if hidden:
        lines += ["", *wrapped(f"{hidden} more options, and more on these: {context.command_path} --help-all",
                              columns).split("\n")]
    if command.epilog:
        lines += ["", *_paragraphs(command.epilog, columns)]
    return "\n".join(lines)


def _bold(console: Console, text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if console.is_terminal and not console.no_color else text


def _usage(command: Any, context: Any) -> Iterator[str]:
    """Yield the arguments in the order in which they are given, then what stands for the rest."""
    for parameter in command.get_params(context):
        if parameter.param_type_name == "argument":
            name = _name(parameter)
            yield name if parameter.required else f"[{name}]"
    yield "COMMAND ..." if getattr(command, "names", None) else "[OPTIONS]"


def _name(argument: Any) -> str:
    return f"{argument.metavar or argument.name.upper()}{'...' if argument.nargs != 1 else ''}"


def _by_panel(parameters: Iterable[Any], everything: bool, brief: bool,
              ) -> tuple[dict[str, list[tuple[str, str]]], int]:
    """Return what stands under each heading as (words, help), and how many options are left out.

    brief: of the help of each option take the first sentence.
    """
    panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    left_out = 0
    for parameter in parameters:
        if getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            panels["Arguments"].append((_name(parameter), _help(parameter)))
            continue
        panel, is_main = _panel_of(parameter)
        if is_main or everything:
            panels.setdefault(panel, []).append((_words(parameter), _help(parameter, brief)))
        else:
            left_out += 1
    panels["Options"] = panels.pop("Options")  # the general ones last
    return panels, left_out


def _panel_of(option: Any) -> tuple[str, bool]:
    """Return the heading of an option, and whether it is a main one: `More` before a heading marks the others."""
    panel = getattr(option, "rich_help_panel", None) or ""
    title = panel.removeprefix(MORE).strip()
    return title or "Options", not panel.startswith(MORE)


def _words(option: Any) -> str:
    long = [word for word in option.opts if word.startswith("--")]
    short = [word for word in option.opts if not word.startswith("--")]
    words = ", ".join([*short, *long])
    if option.secondary_opts:
        words += f" / {option.secondary_opts[0]}"
    value = "" if getattr(option, "is_flag", False) or not option.metavar else f" {option.metavar}"
    return words + value


def _help(parameter: Any, brief: bool = False) -> str:
    text = " ".join((getattr(parameter, "help", None) or "").split())
    if brief:
        text = _SENTENCE.split(text)[0]
    default = getattr(parameter, "show_default", None)
    if isinstance(default, str):
        text += f" [default: {default}]"
    elif default is True and isinstance(parameter.default, int | float | str) and not getattr(parameter, "is_flag",
                                                                                               False):
        text += f" [default: {parameter.default}]"
    if isinstance(parameter.envvar, str):
        text += f" [environment: {parameter.envvar}]"
    return text


def _paragraphs(text: str, columns: int) -> Iterator[str]:
    """Yield the lines of a text whose paragraphs are divided by blank lines; commands that are examples stay whole."""
    before = False
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        words = " ".join(paragraph.split())
        is_example = _EXAMPLE.match(words) is not None
        if is_example and not before:
            yield from ("", "Examples:")
        elif number and not is_example:
            yield ""
        yield from ([f"  {_EXAMPLE.sub('', words)}"] if is_example else wrapped(words, columns).split("\n"))
        before = is_example


def _definitions(entries: Iterable[tuple[str, str]], columns: int) -> Iterator[str]:
    listed = list(entries)
    left = min(max(len(words) for words, _ in listed), _LEFT) + 4
    for words, text in listed:
        lines = textwrap.wrap(text, columns - left, break_long_words=False, break_on_hyphens=False)
        head = f"  {words}"
        if len(head) + 2 > left:
            yield head
        else:
            lines[:1] = [f"{head:<{left}}{lines[0] if lines else ''}".rstrip()]
            yield lines.pop(0)
        yield from (f"{'':<{left}}{line}" for line in lines)
