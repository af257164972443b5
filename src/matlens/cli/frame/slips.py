"""What is said where the words of a command line are none: unknown commands and options, missing and wrong values."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matlens.system.console import command
from matlens.system.registry import did_you_mean

_TOO_MANY = re.compile(r"Got unexpected extra argument")

_NO_COMMAND = re.compile(r"No such command '([a-z]+)'")

_MEANT = {
    "report": "There is no command report: a run's page is report.html in its folder. Write it again with: matlens "
              "evaluate RUN",
    **{word: f"There is no command {word} by itself: it is {command('data', word)}."
       for word in ("audit", "counts", "draw", "fetch", "find", "samples", "split", "store")}}
"""What is meant by words that are no commands, and near none."""


def is_slip(error: Exception) -> bool:
    """Return whether typer raised this of the words of a command line (`UsageError` of its click)."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def told(error: Any) -> str:
    """Return the message: what is wrong, what was meant, where the help is. It is empty where no command was named."""
    context = getattr(error, "ctx", None)
    message = " ".join(_message(error, context).split())
    if context is None or not message:
        return message
    return f"{message.rstrip('.')}{'' if message.endswith('?') else '.'} Help: {context.command_path} --help"


def _message(error: Any, context: Any) -> str:
    kind, parameter = type(error).__name__, getattr(error, "param", None)
    if kind == "NoArgsIsHelpError":
        return ""
    if kind == "NoSuchOption":
        known = [word for option in context.command.get_params(context) if not getattr(option, "hidden", False)
                 for word in (*option.opts, *option.secondary_opts) if word.startswith("--")] if context else []
        return f"There is no option {error.option_name}.{did_you_mean(error.option_name, known)}"
    unknown = _NO_COMMAND.match(str(error.message))
    if unknown and context.parent is None and (meant := _MEANT.get(unknown[1])):
        return meant
    if _TOO_MANY.match(str(error.message)) and (whole := _quoted_line()):
        return f"A name with blanks needs quotes: {whole}"
    if kind == "MissingParameter" and parameter is not None:
        what = " ".join((parameter.help or "").split())
        return f"{_called(parameter)} is missing: {what}"
    if parameter is not None:
        reason = _reason(error.message, parameter)
        return f"{_called(parameter)}{'' if reason.startswith('must') else ':'} {reason}"
    return str(error.format_message())


def _quoted_line() -> str | None:
    """Return what was typed with quotes around the words that are one path together; None where no words are."""
    words = sys.argv[1:]
    for start in range(1, len(words)):
        for end in range(len(words), start + 1, -1):
            together = " ".join(words[start:end])
            if not words[start].startswith("-") and Path(together).exists():
                return command(*words[:start], together, *words[end:])
    return None


def _called(parameter: Any) -> str:
    """Return what a user calls a parameter: --epochs, or RUN."""
    long = [word for word in parameter.opts if word.startswith("--")]
    return str(long[0] if long else parameter.metavar or parameter.name.upper())


def _reason(message: str, parameter: Any) -> str:
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    value = _given(parameter.opts)
    if value is not None and _is_number(value) and (least is not None or most is not None):
        bounds = (f"must be at least {least:g}" if most is None else f"must be at most {most:g}" if least is None
                  else f"must be {least:g} to {most:g}")
        return f"{bounds} (got {value})"
    if value is not None and "integer" in message:
        return f"must be a whole number (got '{value}')"
    if value is not None and "number" in message:
        return f"must be a number (got '{value}')"
    return message


def _given(words: Sequence[str]) -> str | None:
    """Return the value that the command line gives an option last; None where that cannot be told."""
    found = None
    for place, argument in enumerate(sys.argv):
        if argument in words and place + 1 < len(sys.argv):
            found = sys.argv[place + 1]
        elif any(word.startswith("--") and argument.startswith(f"{word}=") for word in words):
            found = argument.partition("=")[2]
    return found


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d*)?", text) is not None
