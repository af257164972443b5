"""Every setting is declared once, and its option follows from that: tested over the declaration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from builders import OTHER_SETTINGS
from matlens.cli import demo, run, train
from matlens.cli.options import SettingsOptions
from matlens.errors import SettingsError
from matlens.models.registry import MODELS
from matlens.settings.corrections.setting import write_corrections
from matlens.settings.declaration import declaration_of, option_type
from matlens.settings.schema import DECLARED, MAY_DIFFER, Settings

WITH_OPTION = [name for name, setting in DECLARED.items() if setting.option]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Call the command line with these arguments, and return the settings that arrive at the job."""
    from matlens.cli.main import app
    from matlens.jobs import run as job

    def call(command: str, *arguments: str) -> Settings:
        arrived: list[Settings] = []

        def stop(settings: Settings, *others: object) -> None:
            arrived.append(settings)
            raise SystemExit

        monkeypatch.setattr(job, "run", stop)
        monkeypatch.setattr(job, "start", stop)
        monkeypatch.setattr("matlens.jobs.demo.run", stop)
        monkeypatch.setattr("matlens.jobs.series.run_series", stop)
        monkeypatch.setattr("matlens.jobs.cluster.run.run_on", stop)
        with pytest.raises(SystemExit):
            app([command, *arguments, "--out", str(tmp_path / "out"), "--quiet"], prog_name="matlens",
                standalone_mode=False)
        return arrived[0]

    return call


def help_of(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> str:
    from matlens.cli.main import app

    monkeypatch.setenv("COLUMNS", str(width))
    app([command, "--help-all"], prog_name="matlens", standalone_mode=False)
    return capsys.readouterr().out


def test_every_setting_has_another_value_to_be_tested_with() -> None:
    """A setting that is added must be tested with the others."""
    assert OTHER_SETTINGS.keys() == Settings.model_fields.keys()
    for name, options in OTHER_SETTINGS.items():
        assert list(options)[-1] == name
        companions = dict(list(options.items())[:-1])
        assert getattr(Settings.load(options=options), name) != getattr(Settings.load(options=companions), name), name


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_says_what_it_is_and_how_it_is_set(name: str) -> None:
    """A sentence that helps; an option, or the reason why there is none; a default that can be shown."""
    setting = DECLARED[name]
    assert re.match(r"(How|Where|What|Whether|After|[A-Z]|guide ).*\.$", setting.help), setting.help
    assert bool(setting.option) != bool(setting.why_no_option)
    assert setting.resumed in ("must agree", "may differ")
    if setting.option:
        assert re.fullmatch(r"--[a-z-]+(/--no-[a-z-]+)?", setting.option)
        assert option_type(Settings.model_fields[name])
        default = Settings.model_fields[name]
        assert setting.shown or setting.required or default.default_factory is None


def test_a_setting_without_a_declaration_is_refused() -> None:
    """It would have no help, no option, and no rule for resuming."""
    from pydantic import Field

    with pytest.raises(TypeError, match="Setting"):
        declaration_of(Field(default=1))


@pytest.mark.parametrize("name", WITH_OPTION)
def test_an_option_arrives_in_the_settings(given: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           ) -> None:
    """Whatever is declared reaches the job with its value, and what is not given keeps its default."""
    monkeypatch.chdir(tmp_path)
    wanted = Settings.load(options={"data_dir": "photos", **OTHER_SETTINGS[name]})
    write_corrections(wanted.corrections, tmp_path)  # an option that names a file
    values = wanted.model_dump(mode="json")
    words = [word for key in OTHER_SETTINGS[name] for word in DECLARED[key].arguments(values[key]) or ()]
    data = () if name == "data_dir" else ("--data", "photos")
    assert given("run", *data, *words) == wanted


def test_each_command_has_the_options_that_it_declares(given: Any) -> None:
    """train chooses its model by an argument, and trains here; the demo brings its own photos."""
    names = {module: [parameter.name for parameter in module.OPTIONS.parameters()] for module in (demo, run, train)}
    assert set(names[run]) - {"alpha"} == set(WITH_OPTION)
    assert set(names[run]) - set(names[train]) == {"models", "material_groups", "on", "task_cpus"}
    assert {"data_dir", "img_size"}.isdisjoint(names[demo])
    assert given("train", "inception_v1", "--data", "photos", "--seed", "3").models == ("inception_v1",)
    assert given("demo", "--epochs", "2").max_epochs == 2


def test_options_of_unknown_settings_are_none() -> None:
    """A misspelt name in a command's list must not pass in silence."""
    assert not list(SettingsOptions(only=("sede",)).parameters())


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", ["run", "train", "demo"])
def test_help_shows_every_option_whole(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
                                       command: str, width: int) -> None:
    """Nothing is clipped, no line is too long, and the words of each help text are all there, in order."""
    text = help_of(command, capsys, monkeypatch, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    words = " ".join(text.split())
    module = {"run": run, "train": train, "demo": demo}[command]
    for parameter in module.OPTIONS.parameters():
        if parameter.name not in DECLARED:  # hidden: what it was called before
            continue
        setting = DECLARED[parameter.name]
        for option in (setting.option or "").split("/"):
            assert re.search(rf"{option}\b", words), option
        assert setting.help in words, parameter.name


def test_help_shows_defaults_that_are_true() -> None:
    """A default in words is a fact; those that follow from values cannot be wrong."""
    assert DECLARED["max_epochs"].shown == (
        f"{Settings().max_epochs}, strong: {Settings(recipe='strong').max_epochs}")
    assert DECLARED["batch_size"].shown == f"{Settings().batch_size}, strong: {Settings(recipe='strong').batch_size}"
    assert DECLARED["views"].shown == f"{Settings().views}, strong: {Settings(recipe='strong').views}"
    assert DECLARED["img_size"].shown == str(Settings().img_size[0])
    from matlens.jobs.demo import EPOCHS

    assert demo.OPTIONS.shown["max_epochs"].startswith(f"{EPOCHS},")
    assert [spec.demo_epochs for spec in MODELS.entries() if spec.demo_epochs] == [13]


def test_an_option_of_a_network_reaches_the_models_that_have_it(given: Any, tmp_path: Path) -> None:
    """By its name for all of them, or for one model; a later one wins, and over a file only where it says something."""
    mobile = "mobilenetv2_transfer"
    assert given("run", "--data", "x", "--option", "alpha=0.35").options_of(mobile) == {"alpha": 0.35}
    chosen = given("run", "--data", "x", "--option", "alpha=0.35", "--option", f"{mobile}.alpha=0.5")
    assert chosen.options_of(mobile) == {"alpha": 0.5}
    assert chosen.options_of("resnet50_transfer") == {}
    assert given("run", "--data", "x", "--option", "alpha=1").model_options == {}, "the default is no change"
    file = tmp_path / "a.toml"
    file.write_text(f"[MODEL_OPTIONS.{mobile}]\nalpha = 0.75")
    assert given("run", "--data", "x", "--config", str(file)).options_of(mobile) == {"alpha": 0.75}
    assert given("run", "--data", "x", "--config", str(file), "--alpha", "0.5").options_of(mobile) == {"alpha": 0.5}


@pytest.mark.parametrize(("text", "named"), [
    ("width=2", ("'width'", "mobilenetv2_transfer.alpha")), ("vgg19_scratch.alpha=2", ("'alpha'", "vgg19_scratch")),
    ("vgg.alpha=1", ("'vgg'", "vgg19_scratch")), ("alpha=wide", ("alpha", "'wide'", "number")),
    ("alpha=0", ("alpha", "0")), ("alpha=2.1", ("alpha", "2.1")), ("alpha=nan", ("alpha", "nan")),
    ("alpha", ("'alpha'", "NAME=VALUE")), ("=1", ("'=1'", "NAME=VALUE")),
    (".alpha=1", ("'.alpha=1'", "NAME=VALUE"))])
def test_an_option_that_no_network_has_is_refused_with_what_is_known(text: str, named: tuple[str, ...]) -> None:
    """A misspelt option would train another network than was asked for."""
    with pytest.raises(SettingsError) as caught:
        Settings.load(options={"model_options": [text]})
    for words in ("model_options", *named):
        assert words in str(caught.value)


@pytest.mark.parametrize("options", [{"mobilenetv2_transfer": 0.5}, {"mobilenetv2_transfer": {"alpha": True}},
                                     {"mobilenetv2_transfer": {"alpha": [1]}}, 3, [3]])
def test_tables_of_options_of_another_form_are_refused(options: object) -> None:
    """In a settings file, too."""
    with pytest.raises(SettingsError, match="model_options"):
        Settings.load(options={"model_options": options})


def test_what_says_where_things_are_may_differ_when_a_run_goes_on() -> None:
    """Except for the photos: another folder holds others, as far as matlens can tell."""
    assert {name for name, setting in DECLARED.items() if setting.of_machine} - MAY_DIFFER == {"data_dir"}
