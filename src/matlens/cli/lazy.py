"""A group of commands, each in a module of its own that is imported when the command is asked for."""

from __future__ import annotations

from importlib import import_module
from inspect import getdoc
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from matlens.cli.options import with_options


class LazyGroup(TyperGroup):
    """The commands that the modules `names` of `package` define, in that order.

    A module defines a function of its own name, or, if it is a package, the typer.Typer `app` of a group.
    """

    package: ClassVar[str]
    names: ClassVar[tuple[str, ...]]

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name) for name in self.names}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the flow."""
        return list(self.names)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a stand-in that knows name and help: making a command's options takes longer than help should."""
        command = self.commands.get(cmd_name)
        if command is not None and command.help is None:
            module = import_module(f"{self.package}.{cmd_name}")
            command.help = module.app.info.help if hasattr(module, "app") else getdoc(getattr(module, cmd_name))
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the whole command that is about to run."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and self._whole(command.name or ""), rest

    def _whole(self, name: str) -> Any:
        module = import_module(f"{self.package}.{name}")
        if hasattr(module, "app"):
            group = get_group(module.app)
            group.name = name
            return group
        holder = typer.Typer(add_completion=False, rich_markup_mode="rich")
        holder.command(name)(with_options(getattr(module, name)))
        return get_command(holder)
