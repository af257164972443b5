"""Help that lists what is registered, without loading any of it before the help of that command is asked for."""

from __future__ import annotations

from typing import Any

import typer.core


class ListsExplainers(typer.core.TyperCommand):
    """A command in whose options' help `{EXPLAINERS}` becomes the names of the registered explanation methods."""

    def format_help(self, *arguments: Any) -> None:
        """Fill the names in, and write the help."""
        from matlens.explanation.registry import EXPLAINERS

        for option in self.params:
            written = getattr(option, "help", None)
            if written and "{EXPLAINERS}" in written:
                names = [f"{method.name} ({method.predictions_per_photo:,} predictions a photo)"
                         if method.predictions_per_photo else method.name for method in EXPLAINERS.entries()]
                option.help = written.replace("{EXPLAINERS}", ", ".join(names))  # type: ignore[attr-defined]
        super().format_help(*arguments)
