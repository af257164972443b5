"""`matlens models`: the models that there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from matlens.cli.options import CacheDir

if TYPE_CHECKING:
    from matlens.jobs.models import ListedModel

_REASONS = 3
"""How many reasons stand below the table."""


def models(
    pattern: Annotated[str | None, typer.Argument(help="Which models: a name, or a pattern such as 'keras/ResNet*'. "
                                                  "Case does not matter.", show_default="matlens' own")] = None,
    count: Annotated[bool, typer.Option("--count", help="Count parameters and operations where nobody has yet, in the "
                                        "models' own framework: some seconds a model. The cache keeps them.",
                                        show_default=False)] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.", show_default=False)] = False,
    weights_dir: Annotated[Path | None, typer.Option(help="A folder in which to look for weights first.")] = None,
    cache_dir: CacheDir = None,
) -> None:
    """List the models that --models takes: their size, the photos and the licence of their weights.

    The weights are on this machine or not. Parameters are those of the backbone, without a head; FLOPs are two for each
    multiplication and addition, for one photo of the side that the weights were trained on.

    Example: matlens models "keras/EfficientNetV2B*" --count
    """
    from matlens.jobs.models import count_models, listed_models
    from matlens.models.registry import MODELS, names_matching
    from matlens.settings.knobs import notebook_setting
    from matlens.system.console import Reporter

    cache, names = cache_dir or notebook_setting("cache_dir"), names_matching(pattern) if pattern else tuple(MODELS)
    listed, refused = listed_models(names, weights_dir, cache), {}
    if count:
        with Reporter(quiet=json).progress("counting", len(listed)) as advance:
            done: list[str] = []

            def tell(name: str) -> None:
                done.append(name)
                advance(len(done), name)

            refused = count_models(listed, cache, tell)
        listed = listed_models(names, weights_dir, cache)
    if json:
        _print_json(listed, refused)
    else:
        _print_table(listed, refused, asked=pattern is not None)


def _print_json(listed: list[ListedModel], refused: dict[str, str]) -> None:
    from json import dumps

    from matlens.system.console import echo

    echo(dumps([{**model.as_json(), "refused": model.refused or refused.get(model.name, "")} for model in listed],
               indent=1))


def _print_table(listed: list[ListedModel], refused: dict[str, str], *, asked: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from matlens.system.console import echo, printable

    table = Table("model", "parameters", "FLOPs", "side", "weights", "licence", box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify, column.no_wrap = "right", True
    for column in (table.columns[0], table.columns[5]):
        column.overflow = "fold"
    for model in listed:
        if not model.refused:
            facts = model.facts
            table.add_row(escape(printable(model.name)), _short(facts.parameters) if facts else "",
                          _short(facts.flops) if facts else "", str(model.side), "yes" if model.weights else "no",
                          escape(printable(model.licence)))
    if table.row_count:
        Console(highlight=False).print(table)
    if any(model.facts is None for model in listed if not model.refused and model.name not in refused):
        echo("Parameters and FLOPs are blank where nobody has counted them yet: add --count.", err=True)
    reasons = {model.name: model.refused for model in listed if model.refused} | refused
    for name, reason in list(reasons.items())[:_REASONS]:
        echo(f"{name}: {reason}")
    if len(reasons) > _REASONS:
        echo(f"... and {len(reasons) - _REASONS} more that cannot be listed or counted: --json has all reasons.")
    if not asked:
        _print_libraries()


def _print_libraries() -> None:
    from matlens.errors import ModelError
    from matlens.models.library import LIBRARIES
    from matlens.system.console import command, echo

    for library in LIBRARIES.entries():
        try:
            names = library.names()
        except ModelError as error:
            echo(f"{library.title}: {error}")
        else:
            echo(f"{library.title}: {len(names)} networks, as {library.name}/NAME: "
                 f"{command('models', f'{library.name}/*')}")


def _short(number: int) -> str:
    """Write a number with three digits and a letter, as in 25.6M."""
    for unit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= unit:
            return f"{number / unit:.3g}{letter}"
    return f"{number:,}"
