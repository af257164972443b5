"""A desk as a user may have it: photos, runs, and folders that are nearly what matlens takes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from builders import begin_run
from matlens.settings.schema import Settings

Desk = Callable[..., Path]


@pytest.fixture(scope="session")
def desk_template(tmp_path_factory: pytest.TempPathFactory, drawn: Path, small_run: Path) -> Path:
    """The folder that each test works in a copy of, or in itself where it changes nothing."""
    desk = tmp_path_factory.mktemp("desk")
    shutil.copytree(drawn, desk / "my photos")
    shutil.copytree(small_run, desk / "runs" / "first run")
    begin_run(desk / "runs" / "unfinished", Settings.load(options={"models": "inception_v1", "weights": "none"}),
              data_root=desk / "my photos")
    photo = drawn / "sky" / "sky_000001.jpg"
    for place in ("loose", "one part/train", "one class/wood"):
        (desk / place).mkdir(parents=True)
        shutil.copy(photo, desk / place)
    for place in ("heic/a", "heic/b", "empty"):
        (desk / place).mkdir(parents=True)
        if place != "empty":
            (desk / place / "1.raw9").write_text("of another program")
    shutil.copytree(drawn, desk / "minc" / "images")
    (desk / "minc" / "labels").mkdir()
    paths = sorted(path.relative_to(desk / "minc").as_posix() for path in (desk / "minc").rglob("*.jpg"))
    for number, part in enumerate(("train", "validate", "test")):
        (desk / "minc" / "labels" / f"{part}1.txt").write_text("\n".join(paths[number::3]))
    for name, text in (("zero.toml", "max_epochs = 0"), ("misspelt.toml", "IMG_SIZES = 64"),
                       ("broken.toml", "SEED = ["),
                       ("true.toml", "MAX_EPOCHS = true"), ("windows.toml", 'DATA_DIR = "C:\\Users\\me"'),
                       ("no data.toml", "SEED = 3"), ("with data.toml", 'DATA_DIR = "my photos"\nSEED = 3')):
        (desk / name).write_text(text)
    return desk


@pytest.fixture
def desk(desk_template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work at the desk: no network, no weights, a cache of its own, and no user's home."""
    def refuse(*arguments: object) -> Path:
        raise ConnectionError("no network")

    monkeypatch.setattr("matlens.models.weights._download", refuse)
    for name in ("KERAS_HOME", "TORCH_HOME", "MATLENS_CACHE"):
        monkeypatch.setenv(name, str(desk_template / "caches" / name))
    monkeypatch.chdir(desk_template)
    return desk_template
