"""`matlens data audit`: what is wrong with a dataset; on request it takes that out, and puts it back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matlens.cli.data.shared import Dataset, folder_of
from matlens.cli.options import CacheDir
from matlens.errors import SettingsError
from matlens.system.files import refuse_unwritable, write_json

if TYPE_CHECKING:
    from matlens.data.audit.audit import Audit
    from matlens.data.audit.merged import Issue
    from matlens.settings.addresses import Address
    from matlens.system.console import Reporter

_EXAMPLES = 3

_OTHER_COLUMNS = 50
"""What the table of issues takes of a screen beside its examples, lines between columns counted."""

_WIDE = 100
"""The columns of a screen from which on the table looks after itself."""

_FIRST_COLUMNS = 33
"""What it takes beside the examples and the advice."""

_NAMED = 20


def audit(
    folder: Dataset,
    split: Annotated[Path | None, typer.Option(help="A split.json of this dataset: look for photos in two of its "
                                               "parts, too.")] = None,
    json: Annotated[Path | None, typer.Option(help="A file for all findings, with the thresholds.")] = None,
    html: Annotated[Path | None, typer.Option(help="A file for a page with small pictures.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 3 if something is found.")] = False,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind of finding; may be repeated.",
                                                   show_default="all")] = None,
    quarantine: Annotated[Path | None, typer.Option(help="Move what was found to this folder outside of the dataset, "
                                                    "and log it there.")] = None,
    restore: Annotated[bool, typer.Option("--restore", help="Put back what --quarantine moved; nothing is "
                                          "audited.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete what was found, for good. Needs --kind.")] = False,
    cache_dir: CacheDir = None,
) -> None:
    """Read every photo and tell what may be wrong: broken files, duplicates, leaks, odd or poor photos.

    Nothing is changed without --quarantine or --delete. Of duplicates one stays, the test part's first; of a photo
    under two classes none.

    Examples: matlens data audit photos --html audit.html

    matlens data audit photos --kind unreadable --quarantine away
    """
    from matlens.system.console import Reporter

    reporter = Reporter()
    if not isinstance(folder, Path):
        folder = _copy_of(folder, quarantine, delete, reporter, cache_dir)
    if restore:
        if quarantine is None or any((split, json, html, strict, kind, delete, cache_dir)):
            raise SettingsError("--restore goes with --quarantine DIR, and with nothing else.")
        _put_back(folder, quarantine, reporter)
        return
    kinds = _checked(kind or [])
    if delete and (not kinds or quarantine is not None):
        raise SettingsError("--delete needs --kind KIND, so that nothing is deleted unawares, and goes without "
                            "--quarantine.")
    whole = _audited(folder, split, [place for place in (json, html) if place is not None], quarantine, reporter,
                     cache_dir)
    shown = whole.only(kinds) if kinds else whole
    if json is not None:
        write_json(json, shown.as_json())
    if html is not None:
        from matlens.report.audit_page import write_audit_page

        write_audit_page(html, shown)
    _show(shown, reporter)
    reporter.written(json, html)
    if quarantine is not None or delete:
        _take_out(shown, kinds, quarantine, reporter)
    if strict and shown.findings:
        raise typer.Exit(3)


def _copy_of(address: Address, quarantine: Path | None, delete: bool, reporter: Reporter,
             cache_dir: Path | None) -> Path:
    """Return the folder in which the photos of an address are; nothing is taken out at an address."""
    if quarantine is not None or delete:
        raise SettingsError(f"matlens changes nothing at {address}. Leave --quarantine, --restore and --delete out, "
                            "and take out there what --json FILE names.")
    return folder_of(address, reporter, cache_dir)


def _checked(kinds: list[str]) -> tuple[str, ...]:
    from matlens.data.audit.checks import ADVICE

    for kind in kinds:
        if kind not in ADVICE:
            raise SettingsError(f"Unknown --kind '{kind}'; choose from {', '.join(ADVICE)}.")
    return tuple(kinds)


def _audited(folder: Path, split: Path | None, files: list[Path], quarantine: Path | None,
             reporter: Reporter, cache_dir: Path | None) -> Audit:
    from matlens.data.audit.audit import audit as audit_source
    from matlens.data.audit.quarantine import LOG, refuse_inside
    from matlens.data.layout.remarks import tell_unused
    from matlens.data.source.sources import open_source
    from matlens.data.split.splits import Split
    from matlens.settings.knobs import notebook_setting

    source = open_source(folder)
    tell_unused(source, reporter)
    manifest = None if split is None else (split.name, Split.read(split))
    if quarantine is not None:
        refuse_inside(quarantine, folder)
        files = [*files, quarantine / LOG]
    for file in files:
        refuse_unwritable(file)
    return audit_source(source, manifest, reporter=reporter, cache_dir=(
        notebook_setting("cache_dir") if cache_dir is None else cache_dir))


def _show(result: Audit, reporter: Reporter) -> None:
    from itertools import groupby

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from matlens.data.audit.merged import issues_of
    from matlens.system.console import on_screen, printable

    columns, table = on_screen(console := Console(highlight=False)), Table("kind", "found")
    screen = columns if columns is not None and columns < _WIDE else None
    table.add_column("such as", min_width=None if screen is None else _room(screen))
    table.add_column("what to do", max_width=None if screen is None else _OTHER_COLUMNS - _FIRST_COLUMNS)
    issues = issues_of(result)
    for kind, of_kind in groupby(issues, key=lambda issue: issue.kind):
        some = list(of_kind)
        examples = [_example(issue.paths[:_EXAMPLES], screen) for issue in some[:_EXAMPLES]]
        more = [f"and {len(some) - _EXAMPLES:,} more"] if len(some) > _EXAMPLES else []
        table.add_row(kind, f"{len(some):,}", Text("\n".join(examples + more), overflow="fold"), _advice(some))
    if issues:
        console.print(table)
    not_read = [finding for kind in ("unreadable", "unsupported", "unreachable") for finding in result.of(kind)]
    for finding in not_read[:_NAMED]:
        reporter.result(printable(f"{finding.paths[0]}: {finding.detail}"))
    if result.hidden is not None:
        reporter.result(printable(f"{result.hidden.summary()} A run keeps them together with {result.hidden.option}"))
    reporter.result(f"{len(issues):,} issue{'s' * (len(issues) != 1)} in {result.photos:,} photos")


def _advice(issues: Sequence[Issue]) -> str:
    """Say what to do about issues of one kind: what the kind asks for, then the exceptions."""
    from matlens.data.audit.checks import ADVICE

    usual = ADVICE[issues[0].kind]
    others = Counter(issue.advice for issue in issues if issue.advice != usual)
    return "\n".join([usual, *(f"{count:,} of them: {advice}" for advice, count in others.items())])


def _example(paths: Sequence[str], screen: int | None) -> str:
    """Write the photos of an issue: on one line or, on a narrow screen, each on its own without the first folders."""
    from matlens.system.console import printable

    names = [printable(path) for path in paths]
    if screen is None or len(" = ".join(names)) <= _room(screen):
        return " = ".join(names)
    return "\n= ".join(_end_of(name, _room(screen) - 2) for name in names)


def _room(screen: int) -> int:
    """Return the columns for examples on a screen."""
    return max(screen - _OTHER_COLUMNS, 24)


def _end_of(name: str, most: int) -> str:
    """Return a path that is as long at most: its last folders and its name, or where that is too long its end."""
    parts = name.split("/")
    ends = (f".../{'/'.join(parts[first:])}" for first in range(1, len(parts)))
    return name if len(name) <= most else next((end for end in ends if len(end) <= most), f"...{name[3 - most:]}")


def _take_out(result: Audit, kinds: tuple[str, ...], quarantine: Path | None, reporter: Reporter) -> None:
    from matlens.data.audit.quarantine import delete_out, move_out, plan_removal, restoring
    from matlens.system.console import printable

    plan = plan_removal(result, kinds, for_good=quarantine is None)
    if quarantine is None:
        for path in delete_out(result.root, plan):
            reporter.result(printable(f"deleted {path} ({plan.out[path].kind})"))
        did = "deleted"
    else:
        for entry in move_out(result.root, plan, quarantine):
            reporter.result(printable(f"moved {entry.source} ({entry.kind})"))
        did = f"moved to {quarantine}"
    for path, why in plan.left.items():
        reporter.result(printable(f"left {path}: {why}"))
    reporter.result(f"{len(plan.out):,} files {did}, {len(plan.left):,} left")
    if plan.out and quarantine is not None:
        reporter.result(f"To put them back: {restoring(result.root, quarantine)}")


def _put_back(folder: Path, quarantine: Path, reporter: Reporter) -> None:
    from matlens.data.audit.quarantine import restore
    from matlens.system.console import printable

    back = restore(folder, quarantine)
    for path in back:
        reporter.result(printable(f"put back {path}"))
    reporter.result(f"{len(back):,} files put back into {folder}")
