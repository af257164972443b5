"""Settings: the guide's defaults, every slip refused by its name, Kaggle recognised."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

import matlens
from matlens.errors import SettingsError
from matlens.models.registry import MODELS
from matlens.settings import schema as module
from matlens.settings.schema import KNOBS, Settings, needs_split


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither Kaggle nor a cache of the machine's."""
    monkeypatch.setattr(module, "KAGGLE_ROOT", tmp_path / "kaggle")
    monkeypatch.delenv("MATLENS_CACHE", raising=False)


def toml(folder: Path, text: str) -> Path:
    file = folder / "matlens.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults_are_the_guides():
    """Who follows the guide gets the guide's run."""
    found = Settings()
    assert (found.img_size, found.batch_size, found.seed, found.max_epochs) == ((224, 224), 64, 42, 4)
    assert found.models == ("vgg19_scratch", "resnet50_transfer", "mobilenetv2_transfer", "inception_v1")
    assert (found.weights, found.augment, found.keep_truncated, found.finetune_epochs) == ("imagenet", True, False, 0)
    assert (found.data_dir, found.output_dir) == (Path("data/minc-2500"), Path("dataset"))
    assert (found.models_dir, found.reports_dir) == (Path("models"), Path("reports"))


@pytest.mark.parametrize("upper", [True, False])
def test_every_setting_may_be_written_in_upper_or_lower_case(tmp_path, upper):
    """The guide writes IMG_SIZE, Python people img_size."""
    lines = ["img_size = [96, 128]", "batch_size = 8", "max_epochs = 9", "weights = 'none'", "augment = false"]
    text = "\n".join(line.partition(" = ")[0].upper() + " = " + line.partition(" = ")[2] if upper else line
                     for line in lines)
    found = Settings.load(toml(tmp_path, text))
    assert (found.img_size, found.batch_size, found.max_epochs, found.weights, found.augment) == (
        (96, 128), 8, 9, "none", False)


@pytest.mark.parametrize(("text", "named"), [
    ("IMAGE_SIZE = 3", "unknown setting 'image_size'"), ("KAGGLE_INPUT = 'x'", "unknown setting 'kaggle_input'"),
    ("IMG_SIZE = 31", "img_size"), ("IMG_SIZE = [224, 16]", "img_size"), ("IMG_SIZE = [64, 64, 3]", "img_size"),
    ("IMG_SIZE = 2049", "img_size"), ("BATCH_SIZE = 0", "batch_size"), ("MAX_EPOCHS = -1", "max_epochs"),
    ("SEED = 4294967296", "seed"), ("SEED = 'x'", "seed"), ("MODELS = []", "models"), ("MODELS = 3", "models"),
    ("MODELS = ['vgg19']", "vgg19"), ("PROTOCOL = 'minc:one'", "protocol"), ("PROTOCOL = 'kfold'", "protocol"),
    ("WEIGHTS = 'places'", "weights"), ("ALPHA = 2.5", "alpha"), ("ALPHA = nan", "alpha"),
    ("FINETUNE_EPOCHS = -1", "finetune_epochs"), ("[EPOCHS_OF]\nvgg = 3", "vgg"),
    ("[EPOCHS_OF]\nvgg19_scratch = 0", "epochs_of"), ("AUGMENT = 'perhaps'", "augment"),
    ("VIEWS = 0", "views"), ("CACHE_LIMIT = -1", "cache_limit"), ("CACHE_LIMIT = inf", "cache_limit"),
    ("VIEWS = 2\nFEATURE_CACHE = false", "views"), ("RECIPE = 'best'", "recipe"),
    ("ACTIVATIONS = 'int8'", "activations"), ("CUT = 'block_9_add'", r"cut.*--finetune-epochs N or --recipe strong")])
def test_what_cannot_be_is_refused_by_name_and_file(tmp_path, text, named):
    """A misspelt or impossible setting that is passed over costs a night of training."""
    file = toml(tmp_path, text)
    with pytest.raises(SettingsError, match=named) as caught:
        Settings.load(file)
    assert str(file) in str(caught.value)


def test_all_slips_are_told_at_once(tmp_path):
    """Not one after the other."""
    with pytest.raises(SettingsError, match="seed") as caught:
        Settings.load(toml(tmp_path, "SEED = -1\nBATCH_SIZE = 0\nCOLOR = 1"))
    assert all(name in str(caught.value) for name in ("seed", "batch_size", "'color'"))


def test_an_option_wins_over_the_file_and_an_unset_one_does_not(tmp_path):
    """--seed on the command line is the last word; options that were not given say nothing."""
    found = Settings.load(toml(tmp_path, "SEED = 3\nBATCH_SIZE = 8"), {"seed": 5, "batch_size": None})
    assert (found.seed, found.batch_size, found.max_epochs) == (5, 8, 4)


def test_models_are_chosen_once_each_and_in_the_order_given():
    """A model named twice must not be trained twice."""
    assert Settings(models="inception_v1, vgg19_scratch,inception_v1").models == ("inception_v1", "vgg19_scratch")
    assert Settings(models="all").models == tuple(MODELS)


def test_a_models_own_epochs_win_over_those_of_all():
    """VGG19 from scratch takes longer than the transfer models; giving it more must not give all more."""
    found = Settings(max_epochs=2, epochs_of={"vgg19_scratch": 30})
    assert (found.epochs("vgg19_scratch"), found.epochs("inception_v1")) == (30, 2)


def test_settings_do_not_change_and_come_back_from_json():
    """run.json is how a resumed run knows what it was."""
    found = Settings(img_size=64, models="inception_v1", epochs_of={"inception_v1": 2}, protocol="minc:3")
    assert Settings.load(options=found.model_dump(mode="json")) == found
    with pytest.raises(ValidationError):
        found.seed = 1


def test_the_recipe_strong_brings_its_epochs_and_views_unless_told_otherwise(tmp_path):
    """`--recipe strong` alone is the recipe; who asks for three epochs gets three."""
    def chosen(**options):
        found = Settings.load(options=options)
        assert Settings.load(options=found.model_dump(mode="json")) == found, "run.json is how a run knows what it was"
        return found.max_epochs, found.views

    strong = (9, 4)
    assert chosen() == (4, 1)
    assert chosen(recipe="strong") == strong
    assert chosen(recipe="strong", max_epochs=3) == (3, 4)
    assert chosen(recipe="strong", views=2) == (9, 2)
    assert chosen(recipe="strong", feature_cache=False) == (9, 1), "views are of kept features"
    file = toml(tmp_path, "RECIPE = 'strong'\nMAX_EPOCHS = 5")
    assert Settings.load(file).max_epochs == 5
    assert Settings.load(file, {"recipe": "guide"}).views == 1
    assert Settings(recipe="strong", epochs_of={"inception_v1": 2}).epochs("inception_v1") == 2


@pytest.mark.parametrize("options", [{"recipe": "strong"}, {"finetune_epochs": 1}])
def test_a_cut_is_where_something_inside_the_trunk_is_trained(options):
    """And it is kept in run.json."""
    found = Settings.load(options={**options, "cut": "block_9_add"})
    assert found.cut == "block_9_add"
    assert Settings.load(options=found.model_dump(mode="json")) == found


def test_kaggle_is_recognised_by_its_input_folder(tmp_path, monkeypatch):
    """Paths a notebook on Kaggle can read and write, without a setting; and the cache is not saved with it."""
    assert matlens.IS_KAGGLE is False
    kaggle = tmp_path / "kaggle"
    (kaggle / "input").mkdir(parents=True)
    assert matlens.IS_KAGGLE is True
    found = Settings(dataset_name="someone/set")
    assert found.data_dir == kaggle / "input" / "someone" / "set"
    assert (found.output_dir, found.models_dir, found.reports_dir) == tuple(
        kaggle / "working" / name for name in ("dataset", "models", "reports"))
    knobs = [getattr(matlens, name) for name in ("KAGGLE_INPUT", "DATA_DIR", "KAGGLE_WORKING")]
    assert knobs == [kaggle / "input/minc2500/minc-2500", kaggle / "input/minc2500/minc-2500", kaggle / "working"]
    assert kaggle not in found.cache_dir.parents
    monkeypatch.setenv("MATLENS_CACHE", str(tmp_path / "mine"))
    assert Settings().cache_dir == tmp_path / "mine"


def test_needs_split_until_train_and_test_are_there(tmp_path):
    """The guide copies a dataset only if it is not divided yet."""
    assert needs_split(tmp_path) is True
    (tmp_path / "train").mkdir()
    assert needs_split(tmp_path) is True
    (tmp_path / "test").touch()
    assert needs_split(tmp_path) is True
    (tmp_path / "test").unlink()
    (tmp_path / "test").mkdir()
    assert needs_split(tmp_path) is False


def test_every_knob_can_be_asked_for_and_no_other():
    """`from matlens import BATCH_SIZE` is the guide's way; a misspelt one must fail at once."""
    for name in KNOBS:
        assert getattr(matlens, name) == getattr(module, name)
    with pytest.raises(AttributeError, match="BATCHSIZE"):
        _ = module.BATCHSIZE
