"""The guide's knobs, the order in which settings win, and seeds."""

from __future__ import annotations

import random

import numpy as np
import pytest

import matlens
from matlens.errors import SettingsError
from matlens.models.seeding import seed_everything
from matlens.settings.schema import Settings
from matlens.system.ownership import places as kaggle


def test_the_guides_knobs_have_the_guides_defaults(monkeypatch, tmp_path):
    """Under the guide's names, here and on Kaggle."""
    assert (matlens.IMG_SIZE, matlens.BATCH_SIZE, matlens.SEED, matlens.MAX_EPOCHS) == ((224, 224), 64, 42, 4)
    assert matlens.DATASET_NAME == "minc2500/minc-2500"
    assert matlens.IS_KAGGLE is False
    monkeypatch.setattr(kaggle, "KAGGLE_ROOT", tmp_path)
    (tmp_path / "input" / "minc2500" / "minc-2500" / "train").mkdir(parents=True)
    assert matlens.IS_KAGGLE is True
    assert matlens.KAGGLE_INPUT == matlens.DATA_DIR == tmp_path / "input" / "minc2500" / "minc-2500"
    assert tmp_path / "working" == matlens.KAGGLE_WORKING
    assert tmp_path / "working" / "dataset" == matlens.OUTPUT_DIR
    assert tmp_path / "working" / "models" == matlens.MODELS_DIR
    assert tmp_path / "working" / "reports" == matlens.REPORTS_DIR
    assert matlens.NEEDS_SPLIT is True
    (matlens.DATA_DIR / "test").mkdir()
    assert matlens.NEEDS_SPLIT is False


def test_options_win_over_the_file_and_the_file_over_defaults(tmp_path):
    """In the guide's spelling or in lower case."""
    file = tmp_path / "a.toml"
    file.write_text('IMG_SIZE = 96\nbatch_size = 8\nSEED = 3\nmodels = "inception_v1"')
    found = Settings.load(file, {"seed": 5, "alpha": None})
    assert (found.img_size, found.batch_size, found.seed, found.models) == ((96, 96), 8, 5, ("inception_v1",))
    file.write_text("SEED = 1\nseed = 2")
    with pytest.raises(SettingsError, match="SEED twice"):
        Settings.load(file)


@pytest.mark.parametrize(("key", "value"), [("seed", -1), ("img_size", 8), ("batch_size", 1.5), ("weights", "some"),
                                            ("alpha", 0), ("epochs_of", {"resnet": 3}), ("nothing", 1)])
def test_impossible_values_are_refused_by_name(key, value):
    """The key must be in the message."""
    with pytest.raises(SettingsError, match=key):
        Settings.load(options={key: value})


def test_one_call_seeds_python_and_numpy():
    """The guide's SEED seeds Python's random alone."""
    drawn = []
    for _ in range(2):
        seed_everything(7)
        drawn.append((random.random(), np.random.random()))  # noqa: NPY002 -- the global state is what is tested
    assert drawn[0] == drawn[1]
