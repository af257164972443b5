"""Settings: the guide's defaults, every slip refused by name, what a resumed run must agree on, earlier versions."""

from __future__ import annotations

import dataclasses
import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import pytest
from pydantic import ValidationError

import matlens
from builders import OTHER_SETTINGS, begin_run, of_first_version, record_as_first_version, split_of
from matlens.errors import RunError, SettingsError
from matlens.models.registry import MODELS
from matlens.runs import record
from matlens.runs.record import OF_THIS_MACHINE, RunRecord
from matlens.runs.run import Run
from matlens.settings import knobs
from matlens.settings.knobs import KNOBS, knob, needs_split, with_knobs
from matlens.settings.schema import DECLARED, Settings
from matlens.system import console
from matlens.system.ownership import places as kaggle

PACKAGE = Path(matlens.__file__).parent


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither Kaggle nor a cache of the machine's."""
    monkeypatch.setattr(kaggle, "KAGGLE_ROOT", tmp_path / "kaggle")
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
    ("IMAGE_SIZE = 3", "there is no setting 'image_size'"),
    ("KAGGLE_INPUT = 'x'", "there is no setting 'kaggle_input'"),
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
    with pytest.raises(SettingsError, match=f"(?i){named}") as caught:
        Settings.load(file)
    assert str(file) in str(caught.value)


def test_all_slips_are_told_at_once(tmp_path):
    """Not one after the other."""
    with pytest.raises(SettingsError, match="SEED") as caught:
        Settings.load(toml(tmp_path, "SEED = -1\nbatch_size = 0\nCOLOR = 1"))
    assert all(name in str(caught.value) for name in ("SEED", "batch_size", "'color'"))


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


@pytest.mark.parametrize(("options", "named"), [
    ({"max_epochs": 4}, "--epochs"), ({"epochs_of": {"inception_v1": 2}}, "epochs_of"), ({"seeds": 2}, "--seeds"),
    ({"feature_cache": False}, "--no-feature-cache"), ({"weights": "none"}, "--weights imagenet"),
    ({"train_on": "train+val"}, "--train-on train"), ({"finetune_epochs": 1}, "finetune_epochs"),
    ({"cut": "block_9_add"}, "cut"),
    ({"head": "knn", "class_weights": "balanced"}, "--head linear")])
def test_what_means_nothing_to_the_recipe_probe_is_refused(options, named):
    """Passed over in silence it would be taken for what was done."""
    with pytest.raises(SettingsError, match=named):
        Settings.load(options={"recipe": "probe", **options})
    assert Settings.load(options={"recipe": "probe"}).max_epochs == 1
    for option in ({"head": "knn"}, {"features": "multi"}):
        with pytest.raises(SettingsError, match=f"--recipe probe, or leave --{next(iter(option))} out"):
            Settings.load(options=option)
    assert Settings.load(options={"recipe": "probe", "views": 3, "seeds": 1}).views == 3


@pytest.mark.parametrize("options", [{"recipe": "strong"}, {"finetune_epochs": 1}])
def test_a_cut_is_where_something_inside_the_trunk_is_trained(options):
    """And it is kept in run.json."""
    found = Settings.load(options={**options, "cut": "block_9_add"})
    assert found.cut == "block_9_add"
    assert Settings.load(options=found.model_dump(mode="json")) == found


def test_kaggle_is_recognised_by_its_input_folder(tmp_path, monkeypatch):
    """Paths a notebook on Kaggle can read and write, without a setting; and the cache is not saved with it."""
    assert matlens.IS_KAGGLE is False
    root = tmp_path / "kaggle"
    (root / "input").mkdir(parents=True)
    assert matlens.IS_KAGGLE is True
    found = Settings(dataset_name="someone/set")
    assert found.data_dir == root / "input" / "someone" / "set"
    assert (found.output_dir, found.models_dir, found.reports_dir) == tuple(
        root / "working" / name for name in ("dataset", "models", "reports"))
    values = [getattr(matlens, name) for name in ("KAGGLE_INPUT", "DATA_DIR", "KAGGLE_WORKING")]
    assert values == [root / "input/minc2500/minc-2500", root / "input/minc2500/minc-2500", root / "working"]
    assert root not in found.cache_dir.parents
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
        assert getattr(matlens, name) == getattr(knobs, name)
    with pytest.raises(AttributeError, match="BATCHSIZE"):
        _ = knobs.BATCHSIZE


def test_a_default_that_is_a_setting_is_read_when_the_function_is_called(tmp_path, monkeypatch):
    """A settings file that is named after the import counts as well, and a broken one does not break the import."""
    @with_knobs
    def called(first, seed: int = knob("seed"), *, side: tuple[int, int] = knob("img_size")) -> tuple:
        return first, seed, side

    parameters = inspect.signature(called).parameters
    assert called(1) == (1, 42, (224, 224))
    monkeypatch.setenv("MATLENS_CONFIG", str(toml(tmp_path, "SEED = 7\nIMG_SIZE = 96")))
    assert called(1) == (1, 7, (96, 96))
    assert called(1, 2, side=(3, 4)) == (1, 2, (3, 4))
    assert (parameters["seed"].default, str(parameters["side"].default)) == (7, "(96, 96)")
    monkeypatch.setenv("MATLENS_CONFIG", str(toml(tmp_path, "SEED = 'x'")))
    assert "SEED" in str(inspect.signature(called)), "help must not fail"
    with pytest.raises(SettingsError, match="SEED"):
        called(1)
    with pytest.raises(ValueError, match="sed"):
        knob("sed")


def test_nothing_is_read_from_a_settings_file_when_a_module_is_imported(tmp_path):
    """An import must neither fail at a file's slip nor fix a value that is set later."""
    modules = [path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".")
               for path in sorted((PACKAGE / "notebook").glob("*.py"))]
    done = subprocess.run([sys.executable, "-c", "\n".join(f"import {name}" for name in modules)], text=True,
                          capture_output=True, check=False,
                          env={**os.environ, "MATLENS_CONFIG": str(toml(tmp_path, "SEED = 'x'"))})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_run_that_goes_on_must_agree_where_the_setting_says_so(tmp_path, name):
    """Results of two settings must not be mixed in one folder; where things are is nobody's business but the user's."""
    options = {"data_dir": tmp_path, **OTHER_SETTINGS[name]}
    companions = {"data_dir": tmp_path, **{key: value for key, value in options.items() if key != name}}
    begin_run(tmp_path / "run", Settings.load(options=companions), data_root=tmp_path)
    other = Settings.load(options=options)
    if DECLARED[name].resumed == "may differ":
        run = Run.begin(tmp_path / "run", other, tmp_path, split_of())
        assert set(other.models) <= set(run.settings.models)
        return
    with pytest.raises(RunError) as caught:
        Run.begin(tmp_path / "run", other, tmp_path, split_of())
    assert f"{name}: " in str(caught.value)
    assert Run.open(tmp_path / "run").settings == Settings.load(options=companions), "the run is as it was"


CASES = of_first_version()


@pytest.mark.parametrize("case", CASES, ids=lambda case: ",".join(case["options"]))
def test_settings_know_what_the_first_version_recorded_of_them(case):
    """States that it left half-trained are found by a hash of that."""
    found = Settings.load(options=case["options"])
    assert found.recorded_by_first_version() == case["recorded"]
    assert Settings.recorded(case["recorded"], Path("run.json")) == found
    assert Settings.load(options=found.model_dump(mode="json")) == found


def test_what_the_first_version_could_not_record_is_none_of_its_records(monkeypatch):
    """Else a state that it left would be taken for that of another network."""
    spec = MODELS["resnet50_transfer"]
    with_option = dataclasses.replace(spec, options=MappingProxyType({"stride": 2}))
    monkeypatch.setitem(MODELS._entries, spec.name, with_option)
    found = Settings.load(options={"model_options": ["stride=3", "alpha=0.5"]})
    recorded = found.recorded_by_first_version()
    assert recorded["alpha"] == 0.5
    assert recorded["model_options"] == {"resnet50_transfer": {"stride": 3}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: ",".join(case["options"]))
def test_a_run_of_the_first_version_goes_on_with_the_same_settings_alone(tmp_path, case):
    """Its run.json has alpha where today's has options of models."""
    settings = Settings.load(options=case["options"])
    record_as_first_version(begin_run(tmp_path / "run", settings, data_root=tmp_path), case["recorded"])
    changed = settings.model_copy(update={"model_options": {"mobilenetv2_transfer": {"alpha": 0.75}}})
    with pytest.raises(RunError, match=r"model_options.*0\.75"):
        Run.begin(tmp_path / "run", changed, tmp_path, split_of())
    run = Run.begin(tmp_path / "run", settings, tmp_path, split_of())
    assert run.settings == settings
    read = RunRecord.read(tmp_path / "run").settings
    assert read.model_dump(exclude=OF_THIS_MACHINE) == settings.model_dump(exclude=OF_THIS_MACHINE)


def test_a_recorded_run_decides_no_place_of_this_machine(tmp_path, monkeypatch):
    """It may be a stranger's: files would be read, written and removed where it says."""
    monkeypatch.setenv("MATLENS_CACHE", str(tmp_path / "mine"))
    theirs = {"cache_dir": tmp_path / "a", "cache_limit": 0, "weights_dir": tmp_path / "b", "auto_batch": True,
              "output_dir": tmp_path / "c", "models_dir": tmp_path / "d", "reports_dir": tmp_path / "e"}
    begin_run(tmp_path / "run", Settings.load(options=theirs))
    read, mine = RunRecord.read(tmp_path / "run").settings, Settings()
    assert read.cache_dir == tmp_path / "mine"
    assert {name: getattr(read, name) for name in theirs} == {name: getattr(mine, name) for name in theirs}
    assert {name for name, setting in DECLARED.items() if setting.of_machine} - {"data_dir"} == OF_THIS_MACHINE


def test_a_run_is_read_where_there_is_no_home_for_a_cache(tmp_path, monkeypatch):
    """To predict needs none."""
    begin_run(tmp_path / "run")

    def homeless() -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr(record, "default_cache_dir", homeless)
    assert not (RunRecord.read(tmp_path / "run").settings.cache_dir / "features").exists()


def test_a_record_of_another_version_is_read_and_what_differs_is_told(tmp_path, capsys, monkeypatch):
    """A renamed setting and one that no longer exists: a line each, once, and the rest counts."""
    monkeypatch.setattr(console, "_told", set())
    run = begin_run(tmp_path / "run")
    recorded = {**CASES[1]["recorded"], "colour_space": "HSV"}
    record_as_first_version(run, recorded, starts="none", failures={"inception_v1": 3}, resumed_at_epoch=None)
    for _ in range(2):
        record = RunRecord.read(tmp_path / "run")
    assert (record.settings.seed, record.settings.options_of("mobilenetv2_transfer")) == (7, {"alpha": 0.35})
    assert (record.failures, record.resumed_at_epoch) == ({}, {})
    assert [set(start) for start in record.starts] == [{"versions"}]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert str(run.paths.run_file) in told[0]
    assert "model_options.mobilenetv2_transfer.alpha" in told[0]
    assert "colour_space" in told[1]


@pytest.mark.parametrize("text", ["ALPHA = 0.35", "[model_options.mobilenetv2_transfer]\nalpha = 0.35"])
def test_a_settings_file_of_the_first_version_is_read(tmp_path, capsys, monkeypatch, text):
    """Under its names, with a line that says today's; a misspelt key is refused all the same."""
    monkeypatch.setattr(console, "_told", set())
    found = Settings.load(toml(tmp_path, text))
    assert found.options_of("mobilenetv2_transfer") == {"alpha": 0.35}
    assert ("model_options" in capsys.readouterr().err) == text.startswith("ALPHA")
    with pytest.raises(SettingsError, match="'alfa'"):
        Settings.load(toml(tmp_path, f"ALFA = 1\n{text}"))


def test_the_smallest_photo_is_that_of_the_chosen_models(monkeypatch):
    """What a network can take is a fact of its spec."""
    large = dataclasses.replace(MODELS["inception_v1"], smallest_side=96)
    monkeypatch.setitem(MODELS._entries, "inception_v1", large)
    assert Settings(img_size=64, models="vgg19_scratch").img_size == (64, 64)
    with pytest.raises(SettingsError, match=r"img_size.*96.*inception_v1"):
        Settings.load(options={"img_size": 64})


def test_photos_of_a_size_that_a_chosen_model_does_not_take_are_refused_before_anything_is_trained(monkeypatch):
    fixed = dataclasses.replace(MODELS["inception_v1"], name="fixed", sizes=((64, 64),))
    monkeypatch.setitem(MODELS._entries, "fixed", fixed)
    assert Settings.load(options={"models": "fixed", "img_size": 64}).img_size == (64, 64)
    with pytest.raises(SettingsError, match=r"fixed.*64 x 64"):
        Settings.load(options={"models": "inception_v1,fixed", "img_size": 96})


@pytest.mark.parametrize("values", [{"models": ["stranger"]}, {"epochs_of": {"stranger": 2}},
                                    {"model_options": {"stranger": {"depth": 2}}}], ids=str)
def test_a_run_of_a_plug_ins_model_says_where_that_is_declared(tmp_path, monkeypatch, values):
    """Whoever opens the run without the plug-in would otherwise think that it is damaged."""
    monkeypatch.delenv("MATLENS_PLUGINS", raising=False)
    with pytest.raises(SettingsError, match=r"stranger.*MATLENS_PLUGINS"):
        Settings.recorded(values, tmp_path / "run.json")


def test_settings_made_in_a_notebook_take_earlier_names(capsys, monkeypatch):
    monkeypatch.setattr(console, "_told", set())
    assert Settings(alpha=0.5) == Settings(model_options={"mobilenetv2_transfer": {"alpha": 0.5}})
    assert "alpha" in capsys.readouterr().err


def test_a_settings_file_that_is_missing_is_not_called_invalid(tmp_path):
    with pytest.raises(SettingsError, match=r"other\.toml is missing"):
        Settings.load(tmp_path / "other.toml")


@pytest.mark.parametrize("name", ["data_dir", "cache_dir", "weights_dir", "material_groups", "output_dir"])
def test_a_tilde_is_the_home_folder_in_every_path(tmp_path, monkeypatch, name):
    """A shell does not expand it in a file, nor in --out=~/x."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert getattr(Settings.load(options={name: "~/x"}), name) == tmp_path / "x"
    for path in ("", "a\0b", "~nobody-has-this-name/x"):
        with pytest.raises(SettingsError, match=name):
            Settings.load(options={name: path})
    monkeypatch.setenv("MATLENS_CACHE", "~nobody-has-this-name/x")
    with pytest.raises(SettingsError, match="MATLENS_CACHE"):
        Settings.load(options={"data_dir": "x"})


def test_a_list_of_groups_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    """A pattern stays what it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Settings.load(options={"groups": "~/groups.csv"}).groups == str(tmp_path / "groups.csv")
    assert Settings.load(options={"groups": "(a~)/"}).groups == "(a~)/"


def test_without_a_home_only_the_cache_has_no_place(monkeypatch):
    """A container may run as a user that the system does not know: to import and to ask for sizes works."""
    def nobody(number):
        raise KeyError(number)

    import pwd

    for name in ("HOME", "MATLENS_CACHE", "XDG_CACHE_HOME", "MATLENS_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert [getattr(matlens, name) for name in ("IMG_SIZE", "BATCH_SIZE")] == [(224, 224), 64]
    for home in (None, "", "relative"):
        if home is not None:
            monkeypatch.setenv("HOME", home)
        with pytest.raises(SettingsError, match="--cache-dir"):
            Settings.load(options={"data_dir": "photos"})
        assert Settings.load(options={"data_dir": "photos", "cache_dir": "c"}).cache_dir == Path("c")


@pytest.mark.parametrize("content", [
    "seed = 0x" + "f" * 9000, "".join(f"x{number} = 1\n" for number in range(10_000)), 'cut = "' + "x" * 100_000 + '"',
    "x = " + "[" * 90 + "]" * 90, '"\\u001b[2J\\n" = 1', "cache_limit = inf", "[epochs_of]\na.b.c = 1"])
def test_hostile_settings_get_one_short_message(tmp_path, content):
    """Python does not even write a number of 9,000 digits, and a terminal acts on control characters."""
    file = tmp_path / "hostile.toml"
    file.write_text(content)
    with pytest.raises(SettingsError) as caught:
        Settings.load(file)
    assert str(file) in str(caught.value)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_settings_file_of_a_windows_editor_is_read_or_told_of(tmp_path, encoding):
    """One marks UTF-8, another writes UTF-16."""
    file = tmp_path / "a.toml"
    file.write_text("SEED = 5", encoding)
    if encoding == "utf-8-sig":
        assert Settings.load(file).seed == 5
        return
    with pytest.raises(SettingsError, match="UTF-16"):
        Settings.load(file)


@pytest.mark.parametrize("device", ["cpu", "cuda", "cuda:0", "cuda:12", "mps"])
def test_a_processor_is_named(device: str) -> None:
    """As PyTorch names it; auto leaves it to matlens."""
    assert Settings.load(options={"device": device}).device == device
    assert Settings.load(options={"device": "auto"}).device is None is Settings().device


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "CUDA", "cuda:1\n", "0", 0, ["cpu"]])
def test_a_word_that_names_no_processor_is_refused(device: object) -> None:
    """Before anything begins; the message lists what there is."""
    with pytest.raises(SettingsError, match=r"device.*auto, cpu, cuda, cuda:N.*mps"):
        Settings.load(options={"device": device})


def test_the_processor_is_this_users_own(tmp_path: Path) -> None:
    """A run that was begun on a GPU goes on, and predicts, on a machine without one."""
    begin_run(tmp_path / "run", Settings(device="cuda:3"))
    assert RunRecord.read(tmp_path / "run").settings.device is None
    begin_run(tmp_path / "run", Settings(device="cpu"))
