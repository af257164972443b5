"""What the page says of repeating a run must give that run again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from builders import report_folder
from matlens.report.sections.repeat import run_command
from matlens.settings.schema import Settings
from report.pages import page, results

CHANGES: list[dict[str, Any]] = [
    {}, {"img_size": 96}, {"models": "inception_v1,vgg19_scratch", "max_epochs": 7, "seed": 3},
    {"recipe": "strong", "cut": "block_12_add"}, {"recipe": "strong", "views": 2, "max_epochs": 4},
    {"protocol": "grouped", "groups": r"(scene[0-9]+)_'x'"}, {"feature_cache": False, "augment": False},
    {"batch_size": 8, "alpha": 0.35, "weights": "auto", "deterministic": True, "keep_truncated": True},
    {"finetune_epochs": 2, "activations": "float32", "precision": "float32", "train_on": "train+val"}]


@pytest.mark.parametrize("changes", CHANGES, ids=lambda changes: ", ".join(changes) or "defaults")
def test_the_command_gives_the_same_settings(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch,
                                             tmp_path: Path) -> None:
    """Gone through the command line's own parser."""
    from matlens.cli import main as cli
    from matlens.jobs import run

    settings = Settings.load(options=changes)
    command, unsaid = run_command(settings.model_dump(mode="json"))
    assert command is not None and unsaid == ()
    given: list[Settings] = []
    monkeypatch.setattr(run, "run", lambda settings, out, reporter: given.append(settings))
    cli.app([*shlex.split(command)[1:], "--out", str(tmp_path)], prog_name="matlens", standalone_mode=False)
    assert given[0].model_copy(update={"data_dir": settings.data_dir}) == settings


def test_settings_without_an_option_are_named() -> None:
    _, unsaid = run_command(Settings.load(options={"epochs_of": {"vgg19_scratch": 3}, "img_size": (64, 96),
                                                   "early_stopping_patience": 2}).model_dump(mode="json"))
    assert sorted(unsaid) == ["early_stopping_patience", "epochs_of", "img_size"]


@pytest.mark.parametrize("settings", [{}, {"img_size": "large"}, {"<b>": 1}])
def test_settings_of_others_give_no_command(settings: dict[str, Any]) -> None:
    assert run_command(settings) == (None, ())


def test_the_page_has_command_versions_machine_and_split(tmp_path: Path) -> None:
    run = report_folder(tmp_path / "r", [results("x")])
    about = json.loads((run / "run.json").read_text("utf-8"))
    about |= {"settings": {"seed": 7}, "starts": [{"at": "then"}, {
        "at": "now", "frameworks": {"torch": "2.14.1"}, "hardware": {"cores": 2, "gpus": []}, "git": None}]}
    (run / "run.json").write_text(json.dumps(about), "utf-8")
    text = page(run).text
    for words in ("matlens rerun RUN", "matlens run --data PHOTOS --seed 7", "torch 2.14.1", "hardware.cores 2",
                  "2 starts are in run.json", "Split hash c0ffee"):
        assert words in text
