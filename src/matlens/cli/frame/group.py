"""Groups of commands, each in a module of its own that is imported when the command is asked for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from matlens.cli.frame.help import help_of


class Command(TyperCommand):
    """A command whose help fits the screen."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        formatter.write(help_of(self, ctx))


class LazyGroup(TyperGroup):
    """The commands that the modules `names` of `package` define, in that order.

    A module defines a function of its own name, or the typer.Typer `app` of a group.

    folders: of the commands whose module lies in a folder of `package`, that folder's name.
    """

    package: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    folders: ClassVar[Mapping[str, str]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: Command(name) for name in self.names}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the flow."""
        return list(self.names)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with the first line of each command's own."""
        lines = [(name, (self.get_command(ctx, name).help or "").split("\n")[0]) for name in self.names]
        formatter.write(help_of(self, ctx, lines))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a stand-in that knows name and help: making a command's options takes longer than help should."""
        command = self.commands.get(cmd_name)
        if command is not None and command.help is None:
            module = self.module_of(cmd_name)
            command.help = module.app.info.help if hasattr(module, "app") else inspect.getdoc(getattr(module, cmd_name))
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the whole command that is about to run."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and self._whole(command.name or ""), rest

    @classmethod
    def module_of(cls, name: str) -> Any:
        """Import the module that defines a command."""
        return import_module(".".join(filter(None, (cls.package, cls.folders.get(name), name))))

    def _whole(self, name: str) -> Any:
        module = self.module_of(name)
        if hasattr(module, "app"):
            group = get_group(module.app)
            group.name = name
            return group
        from matlens.cli.options import with_options

        holder = typer.Typer(add_completion=False, rich_markup_mode=None)
        holder.command(name, cls=Command)(with_options(getattr(module, name)))
        return get_command(holder)
