"""Make the options of the command line from the declarations of the settings; and those that several commands share.

A command's function marks a parameter whose option is made when the command is asked for (`Late`), so that
`matlens --help` need not load the settings. `**given: Annotated[Any, SettingsOptions()]` stands for all settings.
"""

from __future__ import annotations

import copy
import functools
import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

from matlens.cli.frame.help import MORE, show_all
from matlens.cli.frame.places import path, photos_place, run_folder

if TYPE_CHECKING:
    from matlens.runs.run import Run
    from matlens.settings.addresses import Address
    from matlens.settings.schema import Settings


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
            yield _parameter(name, kind | None, option_of(name, self.shown.get(name), panel=True), None)
        for name, earlier in EARLIER.items():
            if earlier.place[0] in chosen:
                yield _parameter(name, earlier.given_as | None, typer.Option(earlier.option, hidden=True), None)


def option_of(name: str, shown: str | None = None, *, panel: bool = False) -> Any:
    """Return the option of a setting.

    shown: the default in words, in place of the declared one. panel: whether it stands under the declared heading.
    """
    from matlens.settings.declaration import choices_of
    from matlens.settings.panels import MAIN
    from matlens.settings.schema import DECLARED, Settings

    setting = DECLARED[name]
    heading = setting.panel if name in MAIN else f"{MORE} {setting.panel or ''}".strip()
    words = [word for word in (setting.option, setting.short) if word]
    return typer.Option(*words, help=setting.help, parser=setting.read, rich_help_panel=heading if panel else None,
                        metavar=setting.metavar or choices_of(Settings.model_fields[name]),
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

    parameters = [_with_metavar(_expanding(parameter)) for parameter in parameters]
    asks_all = any(_is_more(parameter) for parameter in parameters)
    if asks_all:
        parameters.append(_HELP_ALL)

    @functools.wraps(function)
    def called(**given: Any) -> Any:
        given.pop(_HELP_ALL.name, None)
        return function(**given)

    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)  # what must be given first
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return called


_HELP_ALL = _parameter("help_all", bool, typer.Option(
    "--help-all", is_eager=True, callback=show_all, help="Show all options and exit."), False)


def _is_more(parameter: inspect.Parameter) -> bool:
    info = get_args(parameter.annotation)[1]
    return bool(getattr(info, "rich_help_panel", None)) and str(info.rich_help_panel).startswith(MORE)


def _expanding(parameter: inspect.Parameter) -> inspect.Parameter:
    """Let a parameter for paths refuse what is no path, and take `~` for the home folder, which `--out=~/x` needs."""
    kind, info = _kind_and_info(parameter)
    if Path not in (kind, *get_args(kind)) or getattr(info, "parser", None):
        return parameter
    info = copy.copy(info)
    info.parser = path
    return parameter.replace(annotation=Annotated[kind, info])


def _with_metavar(parameter: inspect.Parameter) -> inspect.Parameter:
    """Give a parameter the word that stands for its value in help, unless it has one."""
    kind, info = _kind_and_info(parameter)
    if getattr(info, "metavar", None):
        return parameter
    [inner] = [part for part in get_args(kind) if part is not type(None)][:1] or [kind]
    choices = get_args(inner) if get_origin(inner) is Literal else get_args(kind) if get_origin(kind) is Literal else ()
    [inner] = get_args(inner)[:1] if get_origin(inner) is list else [inner]
    word = "|".join(choices) if choices else {Path: "PATH", int: "N", float: "X", str: "NAME"}.get(inner)
    if word is None or isinstance(info, typer.models.ArgumentInfo):
        return parameter
    info = copy.copy(info)
    info.metavar = word
    return parameter.replace(annotation=Annotated[kind, info])


def _kind_and_info(parameter: inspect.Parameter) -> tuple[Any, Any]:
    return get_args(parameter.annotation) if get_origin(parameter.annotation) is Annotated else (None, None)


def _declared(name: str) -> Late:
    return Late(lambda: option_of(name))


Models = Annotated[str | None, _declared("models")]
Groups = Annotated[str | None, _declared("groups")]
MaterialGroupsFile = Annotated[Path | None, _declared("material_groups")]
Device = Annotated[str | None, _declared("device")]
CacheDir = Annotated[Path | None, _declared("cache_dir")]
On = Annotated[str | None, _declared("on")]
TaskCpus = Annotated[int | None, _declared("task_cpus")]
Out = Annotated[Path | None, typer.Option(
    "--out", "-o", help="The run's folder. If it holds an unfinished run of the same settings, that run goes on.",
    show_default="runs/<time>, on Kaggle /kaggle/working")]
Photos = Annotated[Any, typer.Argument(
    help="The dataset, as with --data: a folder, or an address such as s3://bucket/photos.", metavar="PHOTOS",
    parser=photos_place, show_default=False)]
"""A path or an address."""
RunArguments = Annotated[list[Path], typer.Argument(
    help="Run folders; last is the newest.", metavar="RUN", parser=run_folder, show_default=False)]
Config = Annotated[Path | None, typer.Option(
    envvar="MATLENS_CONFIG", help="A TOML file with any of the settings. Options win over it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]


def loaded(config: Path | None, given: Mapping[str, Any], photos: Path | Address | None, words: str) -> Settings:
    """Return the settings of a command that trains, whose photos an argument, --data or the settings file names.

    words: the command up to its photos, for the message. Raises SettingsError, also where nothing names photos.
    """
    from matlens.errors import SettingsError
    from matlens.settings.files import read_settings
    from matlens.settings.schema import Settings
    from matlens.system.console import shell_word

    named = given.get("data_dir")
    if photos is not None and named not in (None, photos):
        raise SettingsError(f"Two datasets are named: {photos}, and --data {named}. Name one: "
                            f"matlens {words} {shell_word(photos)}")
    settings = Settings.load(config, {**given, "data_dir": photos or named})
    if photos is None and named is None and not {"data_dir", "data_address"} & read_settings(config)[0].keys():
        there = settings.data_dir if settings.data_dir.is_dir() else Path("PHOTOS")
        of_file = f", and {config} sets no DATA_DIR" if config else ""
        raise SettingsError(f"No photos are named{of_file}. Name the folder that holds a folder of photos for each "
                            f"class: matlens {words} {shell_word(there)}")
    return settings


def default_out() -> Path:
    """Return the folder of a run for which the user named none."""
    from matlens.system.ownership.places import new_run_folder

    return new_run_folder()


MovedPhotos = Annotated[Any, typer.Option(
    "--data", "-d", help="The folder or the address at which the run's photos are now.", metavar="PATH",
    parser=photos_place, show_default="where they were")]


def with_photos_in(folder: Path | Address | None, run: Run, *, needed: bool, words: str) -> Run:
    """Return a run whose photos lie elsewhere than they did. Raises DataError where they are not there.

    needed: whether the command reads the run's photos. words: the command's name.
    """
    import dataclasses

    from matlens.data.source.sources import open_source
    from matlens.errors import DataError
    from matlens.system.console import command

    if folder is None:
        if needed and not run.data_root.is_dir():
            typed = sys.argv[1:] if sys.argv[1:2] == [words] else (words, run.path)  # with all that was asked for
            raise DataError(f"The photos of {run.path} were in {run.data_root}, and that folder is gone. Say where "
                            f"they are now: {command(*typed, '--data', run.settings.data_address or 'FOLDER')}")
        return run
    if not isinstance(folder, Path):
        from matlens.data.remote.bring import bring
        from matlens.settings.knobs import notebook_setting
        from matlens.system.console import Reporter

        folder = bring(folder, notebook_setting("cache_dir"), notebook_setting("cache_limit"), Reporter())
    root = open_source(folder).root.resolve()
    photos = run.split.part("test")
    missing = [photo.path for photo in photos if not (root / photo.path).is_file()]
    if missing:
        raise DataError(f"{len(missing)} of the {len(photos)} test photos of {run.path} are not in {root}, such as "
                        f"{missing[0]}. Name the folder in which they lie as the run knew them with --data.")
    return dataclasses.replace(run, data_root=root)


def _hold_alone(context: typer.Context, run: Path) -> Path:
    """Hold the folder of a run until the command ends."""
    from matlens.runs.lock import alone_in

    if run.is_dir() and not context.resilient_parsing:
        context.with_resource(alone_in(run))
    return run


RunArgument = Annotated[Path, typer.Argument(
    help="A run's folder; last is the newest.", metavar="RUN", parser=run_folder, callback=_hold_alone,
    show_default=False)]
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
