"""Make the options of the command line from the declarations of the settings; and those that several commands share.

`LazyGroup` is a group of commands, each in a module of its own that is imported when the command is asked for.

A command's function marks a parameter whose option is made when the command is asked for (`Late`), so that
`matlens --help` need not load the settings. `**given: Annotated[Any, SettingsOptions()]` stands for all settings.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


@dataclass(frozen=True)
class Late:
    """Stands in an annotation for the option or argument that `make` returns."""

    make: Callable[[], Any]


@dataclass(frozen=True)
class SettingsOptions:
    """Stands for the options of settings, in the order of their declaration.

    only: these settings; all that have an option where it is empty. without: all but these.
    shown: defaults in words, where the command's own are others.
    """

    only: Collection[str] = ()
    without: Collection[str] = ()
    shown: Mapping[str, str] = field(default_factory=dict)

    def parameters(self) -> Iterator[inspect.Parameter]:
        """Yield a parameter for each of the settings, and hidden ones for what they were called before."""
        from matlens.settings.declaration import option_type
        from matlens.settings.renames import EARLIER
        from matlens.settings.schema import DECLARED, Settings

        chosen = [name for name, setting in DECLARED.items() if setting.option and name not in self.without
                  and (name in self.only or not self.only)]
        for name in chosen:
            kind = option_type(Settings.model_fields[name])
            required = DECLARED[name].required
            yield _parameter(name, kind if required else kind | None, option_of(name, self.shown.get(name), panel=True),
                             inspect.Parameter.empty if required else None)
        for name, earlier in EARLIER.items():
            if earlier.place[0] in chosen:
                yield _parameter(name, earlier.given_as | None, typer.Option(earlier.option, hidden=True), None)


def option_of(name: str, shown: str | None = None, *, panel: bool = False) -> Any:
    """Return the option of a setting.

    shown: the default in words, in place of the declared one. panel: whether it stands under the declared heading.
    """
    from matlens.settings.schema import DECLARED, Settings

    setting = DECLARED[name]
    words = [word for word in (setting.option, setting.short) if word]
    return typer.Option(*words, help=setting.help, metavar=setting.metavar, parser=setting.read,
                        rich_help_panel=setting.panel if panel else None,
                        show_default=shown or setting.shown or _default_in_words(Settings.model_fields[name].default,
                                                                                 setting.option or ""))


def _default_in_words(default: Any, option: str) -> str | bool:
    if isinstance(default, bool):
        on, _, off = option.partition("/")
        return (on if default else off).removeprefix("--") if off else False
    return f"{default:g}" if isinstance(default, float) else str(default) if isinstance(default, int | str) else False


def _parameter(name: str, kind: Any, option: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option])


def with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command's function with the signature that typer reads: what its annotations stand for is made."""
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        marked = get_args(parameter.annotation) if get_origin(parameter.annotation) is Annotated else ()
        [mark] = marked[1:] or [None]
        if isinstance(mark, SettingsOptions):
            parameters += mark.parameters()
        elif isinstance(mark, Late):
            parameters.append(_parameter(parameter.name, marked[0], mark.make(), parameter.default))
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(function)
    def called(**given: Any) -> Any:
        return function(**given)

    parameters = [_expanding(parameter) for parameter in parameters]
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)  # what must be given first
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return called


def _expanding(parameter: inspect.Parameter) -> inspect.Parameter:
    """Let a parameter for paths refuse what is no path, and take `~` for the home folder, which `--out=~/x` needs."""
    kind, info = (get_args(parameter.annotation) if get_origin(parameter.annotation) is Annotated else (None, None))
    if Path not in (kind, *get_args(kind)):
        return parameter
    info = copy.copy(info)
    info.parser = path
    return parameter.replace(annotation=Annotated[kind, info])


def path(given: str) -> Path:
    """Return the path that a word of the command line stands for; its own name stands for the type in help."""
    from matlens.system.ownership.places import expanded

    try:
        return expanded(given)
    except ValueError as error:
        raise typer.BadParameter(f"'{given}' {error}") from None


def _declared(name: str) -> Late:
    return Late(lambda: option_of(name))


Models = Annotated[str | None, _declared("models")]
Groups = Annotated[str | None, _declared("groups")]
MaterialGroupsFile = Annotated[Path | None, _declared("material_groups")]
Device = Annotated[str | None, _declared("device")]
CacheDir = Annotated[Path | None, _declared("cache_dir")]
Out = Annotated[Path | None, typer.Option(
    "--out", "-o", help="The run's folder. If it holds an unfinished run of the same settings, that run goes on.",
    show_default="runs/<time>, on Kaggle /kaggle/working")]
Config = Annotated[Path | None, typer.Option(
    envvar="MATLENS_CONFIG", help="A TOML file with any of the settings. Options win over it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]


def default_out() -> Path:
    """Return the folder of a run for which the user named none."""
    from matlens.system.ownership.places import new_run_folder

    return new_run_folder()


def _hold_alone(context: typer.Context, run: Path) -> Path:
    """Hold the folder of a run until the command ends."""
    from matlens.runs.lock import alone_in

    if run.is_dir() and not context.resilient_parsing:
        context.with_resource(alone_in(run))
    return run


RunArgument = Annotated[Path, typer.Argument(help="A run's folder.", callback=_hold_alone, show_default=False)]
"""Of commands that write there. They hold it alone."""


def chosen_device(device: str | None) -> str | None:
    """Return the processor that --device names; None where that is left to matlens. Raises SettingsError."""
    from matlens.settings.schema import Settings

    return Settings.load(options={"device": device}).device


def chosen_models(models: str | None) -> tuple[str, ...] | None:
    """Return the names that --models lists; None where it is not given. Raises SettingsError."""
    if models is None:
        return None
    from matlens.settings.schema import Settings

    return Settings.load(options={"models": models}).models


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
            command.help = module.app.info.help if hasattr(module, "app") else inspect.getdoc(getattr(module, cmd_name))
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
