"""Print what a person sees while matlens works: lines, and progress for whatever lasts."""

from __future__ import annotations

import codecs
import html
import os
import re
import shlex
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape

Advance = Callable[[int, str], None]
"""Called with (done, a few words)."""

_PLAIN_EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""


def printable(text: str) -> str:
    """Return text on one line in which nothing is hidden or acted on: names may hold line breaks and terminal codes."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def printable_lines(text: str) -> str:
    """Return text of several lines in which nothing but the line breaks is acted on."""
    return "\n".join(map(printable, text.split("\n")))


def shell_word(value: object) -> str:
    """Write a value, often a path, so that a shell takes it as one word, and no path as an option.

    A name with line breaks, terminal codes or bytes that are no UTF-8 has escapes (bash's and zsh's $'...').
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    text = f"./{text}" if isinstance(value, os.PathLike) and text.startswith("-") else text
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(char if char.isprintable() and char not in "'\\" else "".join(
        f"\\x{byte:02x}" for byte in os.fsencode(char)) for char in text) + "'"


def command(*words: object) -> str:
    """Write a command of matlens that works when it is pasted: `command("evaluate", path, "--svg")`."""
    return " ".join(["matlens", *map(shell_word, words)])


def listed(names: Sequence[str]) -> str:
    """Join names as in 'a, b and c'."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def html_table(columns: Sequence[str], rows: Iterable[Sequence[object]], above: str = "") -> str:
    """Write a small table in HTML, as notebooks show it.

    columns: the first is of words, the others are of numbers, at the right. above: a sentence above the table.
    """
    def cell(tag: str, place: int, value: object) -> str:
        side = "left" if place == 0 else "right"
        return f'<{tag} style="text-align:{side}">{html.escape(str(value))}</{tag}>'

    head = "".join(cell("th", place, name) for place, name in enumerate(columns))
    body = "".join(f"<tr>{''.join(cell('td', place, value) for place, value in enumerate(row))}</tr>" for row in rows)
    words = f"<p>{html.escape(above)}</p>" if above else ""
    return f"{words}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Return the escapes that JSON has for letters that an encoding lacks, so that JSON stays JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start:error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at:at + 2].hex()}" for at in range(0, len(units), 2)), error.end


ESCAPES = "matlens.escapes"
"""The name of the rule by which a stream writes letters that its encoding lacks, as `\\u00e4` for 'ä' in ASCII."""

codecs.register_error(ESCAPES, _escaped)


def shown_on(console: Console, text: str) -> str:
    """Return text in which an escape stands for each letter that a console's encoding lacks, as for 'ä' in ASCII."""
    return text.encode(console.encoding, ESCAPES).decode(console.encoding)


_PASTED = re.compile(r"(?:matlens (?:data )?[a-z]+|pip install|magick mogrify|(?<= )--[\w-]+)"
                     r"(?: (?:-+\w[\w-]*(?: (?!-)[^\s'\"$]+)?|(?:\$?'[^']*'|\"'\")+"
                     r"|(?=\S*[/A-Z0-9_.,;:)=~-]|(?:\S+ ){1,2}[-'$]|\S+$)[^\s'\"]+))*")
"""What is copied from a message: a command or an option with its arguments, which no line break may divide.

An argument is quoted, or has what words of a sentence do not have; or an option, a stop or the end of the line follows.
"""

_GLUE = "\uf8ff"  # of Unicode's private characters: stands for a space at which no line may end
_SECOND = "\uf8fe"  # another: stands for the second column that a Chinese, Japanese or Korean letter takes


def on_screen(console: Console) -> int | None:
    """Return the columns of a console that a person looks at; None for a pipe or a file, whose lines stay whole."""
    return console.width if console.is_terminal or os.environ.get("COLUMNS") else None


def wrapped(text: str, columns: int | None) -> str:
    """Return text whose lines end between words where they are longer than a screen.

    A command goes onto a line of its own rather than being divided. One that is longer than a line is divided between
    its arguments, behind a backslash: what is pasted into a shell is still one command. Tables stay as they are.

    columns: of the screen; None for a pipe or a file.
    """
    return "\n".join(line if columns is None or cell_len(line) <= columns or line.lstrip()[:1] == "|" or _GLUE in line
                     else _broken(line, columns) for line in text.split("\n"))


def _broken(line: str, columns: int) -> str:
    indent, room = line[:len(line) - len(line.lstrip())], max(columns, 20)
    glued = _PASTED.sub(lambda match: _continued(match[0], room - len(indent)).replace(" ", _GLUE), line)
    first, *others = "".join(char + _SECOND * (cell_len(char) - 1) for char in glued).split("\n")
    filled = [textwrap.fill(part, room, initial_indent=before, subsequent_indent=indent, break_long_words=False,
                            break_on_hyphens=False)
              for before, part in (("", first), *((indent, other) for other in others))]
    return "\n".join(filled).replace(_GLUE, " ").replace(_SECOND, "")


_ARGUMENT = re.compile(r"(?:[^\s'\"]|'[^']*'|\"[^\"]*\")+")
"""A word of a command: quoted blanks do not end it."""

_CONTINUATION = "    "  # before what goes on with a command on the next line


def _continued(pasted: str, room: int) -> str:
    """Divide a command that is longer than `room` into lines that end in a backslash, between arguments.

    An option stays with its value where both fit. What is too long by itself stays whole, on a line of its own.
    """
    if len(pasted) <= room or pasted.startswith("-"):  # an option that a sentence speaks of
        return pasted
    units: list[str] = []
    for word in _ARGUMENT.findall(pasted):
        option = units[-1] if units and re.fullmatch(r"--?[\w-]+", units[-1]) and not word.startswith("-") else None
        if option and len(f"{_CONTINUATION}{option} {word} \\") <= room:
            units[-1] += f" {word}"
        else:
            units.append(word)
    lines = units[:1]
    for unit in units[1:]:
        if len(f"{lines[-1]} {unit} \\") <= room:
            lines[-1] += f" {unit}"
        else:
            lines.append(_CONTINUATION + unit)
    return " \\\n".join(lines)


def complain(text: str, style: str, heading: str) -> None:
    """Print a message on standard error, after a heading in the style."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    lines = wrapped(f"{heading}: {shown_on(console, text)}", on_screen(console))
    console.print(f"[{style}]{heading}:[/{style}]{escape(lines.removeprefix(f'{heading}:'))}")


def echo(text: str, *, err: bool = False) -> None:
    """Print a result as it is, on standard error if `err`; what acts on a terminal is escaped before."""
    print(text, file=sys.stderr if err else sys.stdout, flush=True)


def remark(text: str) -> None:
    """Print a remark about a result on standard error, in lines that a screen holds."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(escape(wrapped(shown_on(console, printable_lines(text)), on_screen(console))))


_told: set[str] = set()


def tell_once(text: str) -> None:
    """Print a remark on standard error, once in this process however often it is made."""
    if text not in _told:
        _told.add(text)
        remark(text)


_NOTEBOOK_BAR, _NOTEBOOK_EVERY = 20, 0.25
"""Letters of a bar in a notebook, and the seconds between two states of it."""

_BAR, _SMALLEST_BAR, _TIME = 20, 8, 7


def _fitting(title: str, total: int, columns: int) -> tuple[str, int, int]:
    """Return a bar's title, its width, and the columns that are left for words, so that it fits on a line."""
    numbers = 2 * len(str(total)) + 1
    around = numbers + _TIME + 6  # a space beside each column
    if len(title) > (most := max(columns - around - _SMALLEST_BAR, 8)):
        title = f"{title[:most - 3]}..."
    width = max(min(_BAR, columns - around - len(title)), _SMALLEST_BAR)
    return title, width, max(columns - around - len(title) - width, 0)


def shortened(words: str, room: int) -> str:
    """Return the first of some facts, which commas divide, that fit into so many columns together."""
    facts = words.split(", ")
    while facts and len(", ".join(facts)) > room:
        facts.pop()
    return ", ".join(facts)


class Reporter:
    """Print lines to standard output and live bars on a terminal; with `quiet`, only what `result` is given."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._console = Console(highlight=False, soft_wrap=True)

    @property
    def live(self) -> bool:
        """Return whether progress is drawn in place."""
        return self._console.is_terminal and not self.quiet

    def say(self, text: str, style: str = "") -> None:
        """Print a line about the work."""
        if not self.quiet:
            self.result(text, style)

    def warn(self, text: str) -> None:
        """Print what must not be missed on standard error, even when quiet."""
        complain(printable_lines(text), "yellow", "warning")

    def result(self, text: str, style: str = "") -> None:
        """Print what the user asked for."""
        shown = shown_on(self._console, printable_lines(text))
        self._console.print(escape(wrapped(shown, on_screen(self._console))), style=style or None)
        sys.stdout.flush()

    def written(self, *files: Path | None) -> None:
        """Name the files that were written; None was not asked for."""
        for file in files:
            if file is not None:
                self.result(f"written: {file}")

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Advance]:
        """Show progress of `total` units: a bar with the time left, or a plain line every ten seconds."""
        if not self.live:
            yield self._in_notebook(title, total) if self._console.is_jupyter and not self.quiet else self._plain(
                title, total)
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        title, width, room = _fitting(title, total, self._console.width)
        with Progress(TextColumn("{task.description}"), BarColumn(width), MofNCompleteColumn(), TimeRemainingColumn(),
                      TextColumn("{task.fields[words]}"), console=self._console, transient=True) as bar:
            task = bar.add_task(escape(title), total=total, words="")

            def advance(done: int, words: str) -> None:
                bar.update(task, completed=done, words=escape(shortened(words, room)))

            yield advance

    def _in_notebook(self, title: str, total: int) -> Advance:
        """Show progress in a notebook's cell, on one line that is written anew in place."""
        from IPython.display import display

        def shown(done: int, words: str) -> dict[str, str]:
            filled = round(_NOTEBOOK_BAR * done / max(total, 1))
            return {"text/plain": printable(f"{title} {'█' * filled}{'░' * (_NOTEBOOK_BAR - filled)} {done}/{total} "
                                            f"{words}").rstrip()}

        handle, last = display(shown(0, ""), raw=True, display_id=True), time.monotonic()  # type: ignore[no-untyped-call]

        def advance(done: int, words: str) -> None:
            nonlocal last
            if done >= total or time.monotonic() - last >= _NOTEBOOK_EVERY:
                last = time.monotonic()
                handle.update(shown(done, words), raw=True)

        return advance

    def _plain(self, title: str, total: int) -> Advance:
        last = time.monotonic()
        first: tuple[int, float] | None = None  # how much was done, and when; what came before it was starting

        def advance(done: int, words: str) -> None:
            nonlocal last, first
            now = time.monotonic()
            first = (done, now) if first is None else first
            if now - last >= _PLAIN_EVERY and done < total:
                last = now
                so_far, since = done - first[0], now - first[1]
                left = f"({since / so_far * (total - done):.0f} s left)" if so_far else ""
                self.say(f"{title}: {done}/{total} {words} {left}".replace("  ", " ").rstrip())

        return advance
