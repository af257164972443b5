"""What the page says of repeating a run must give that run again."""

from __future__ import annotations

import html
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from builders import OTHER_SETTINGS, begin_run, of_first_version, results_of
from matlens.report.page import write_report
from matlens.report.sections.applied import applied_settings
from matlens.settings.corrections.setting import write_corrections
from matlens.settings.repetition import run_command
from matlens.settings.schema import DECLARED, Settings

TOGETHER: list[dict[str, Any]] = [
    {}, {"recipe": "strong", "cut": "block_12_add"}, {"recipe": "strong", "views": 2, "max_epochs": 4},
    {"recipe": "strong", "feature_cache": False}, {"protocol": "grouped", "groups": r"(scene[0-9]+)_'x'"},
    {"batch_size": "auto"}]
"""Settings that depend on one another."""

CHANGES = [*OTHER_SETTINGS.values(), *TOGETHER]


@pytest.mark.parametrize("changes", CHANGES, ids=lambda changes: ", ".join(changes) or "defaults")
def test_the_command_gives_the_same_settings_or_names_those_that_it_cannot(
        changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Gone through the command line's own parser; where things are is the business of who repeats it."""
    from matlens.cli.main import app

    settings = Settings.load(options=changes)
    monkeypatch.chdir(tmp_path)
    write_corrections(settings.corrections, tmp_path)  # the run's folder holds the file that the option names
    command, unsaid = run_command(settings.model_dump(mode="json"))
    assert command is not None
    given: list[Settings] = []
    for job in ("run.run", "series.run_series"):
        monkeypatch.setattr(f"matlens.jobs.{job}", lambda settings, out, reporter: given.append(settings))
    app([*shlex.split(command)[1:], "--out", str(tmp_path)], prog_name="matlens", standalone_mode=False)
    left_out = {name for name, setting in DECLARED.items() if setting.of_machine}
    assert all(DECLARED[name].option is None for name in unsaid)
    differing = {name for name in DECLARED if getattr(given[0], name) != getattr(settings, name)}
    assert differing - left_out == set(unsaid)


def test_settings_without_an_option_are_named() -> None:
    _, unsaid = run_command(Settings.load(options={"epochs_of": {"vgg19_scratch": 3}, "img_size": (64, 96),
                                                   "early_stopping_patience": 2}).model_dump(mode="json"))
    assert sorted(unsaid) == ["early_stopping_patience", "epochs_of", "img_size"]


def test_a_run_of_the_first_version_is_repeated_under_todays_names() -> None:
    command, _ = run_command(of_first_version()[1]["recorded"])
    assert "--option mobilenetv2_transfer.alpha=0.35" in str(command)


@pytest.mark.parametrize(("remark", "asked", "shown"), [
    ("trained without augmentation", True, "none (features"), ("trained without augmentation", False, "none"),
    ("trained on 4 fixed views of each photo (view 0 as it is)", True, "4 fixed views of each photo"),
    ("", True, "new variations in each epoch")])
def test_settings_say_what_was_done_to_the_photos_as_the_remarks_do(remark: str, asked: bool, shown: str) -> None:
    judged = [results_of("a", remarks=(remark,)), results_of("b", remarks=(remark,))]
    lines = dict(applied_settings(Settings.load(options={"augment": asked}).model_dump(mode="json"), judged))
    assert lines["augmentation"].startswith(shown)
    assert not {"augment", "views", "feature_cache"} & lines.keys()
    judged[1] = results_of("b", remarks=("trained on 2 fixed views of each photo (view 0 as it is)",))
    assert "augmentation of b" in dict(applied_settings({"augment": asked}, judged))


def test_settings_that_decided_nothing_are_not_shown() -> None:
    """The name of a dataset on Kaggle where the photos came from a folder, epochs of a probe, and where things lie."""
    given = Settings.load(options={"data_dir": "photos", "recipe": "probe", "seed": 7}).model_dump(mode="json")
    lines = dict(applied_settings(given, []))
    assert lines["recipe"] == "probe" and lines["seed"] == 7
    assert not {"dataset_name", "output_dir", "max_epochs", "batch_size", "cut", "margin", "epochs_of"} & lines.keys()
    assert (lines["head"], lines["features"]) == ("linear", "last")
    assert not {"head", "features"} & dict(applied_settings({**given, "recipe": "guide"}, [])).keys()


@pytest.mark.parametrize("settings", [{}, {"img_size": "large"}, {"<b>": 1}])
def test_settings_of_others_give_no_command(settings: dict[str, Any]) -> None:
    assert run_command(settings) == (None, ())


def test_the_page_has_command_versions_machine_and_split(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    about = json.loads(run.paths.run_file.read_text("utf-8"))
    about |= {"settings": {"seed": 7}, "starts": [{"at": "then"}, {
        "at": "now", "frameworks": {"torch": "2.14.1"}, "hardware": {"cores": 2, "gpus": []}, "git": None}]}
    run.paths.run_file.write_text(json.dumps(about), "utf-8")
    page = write_report(run.path).read_text("utf-8")
    text = " ".join(html.unescape(re.sub("<[^>]*>", " ", page)).split())
    for words in ("matlens rerun RUN", "matlens run --data PHOTOS --seed 7", "torch 2.14.1", "hardware.cores 2",
                  "2 starts are in run.json", f"Split hash {run.split.hash}"):
        assert words in text
