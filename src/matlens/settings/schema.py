"""The settings of a run, each declared once: type, default, option, help, and whether a resumed run must agree on it.

The order is that in which they are checked: a default or a check may ask for the settings that stand before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from matlens.models.precision import Wish
from matlens.models.registry import default_models, spec_of
from matlens.settings import checks
from matlens.settings.addresses import divided
from matlens.settings.corrections.setting import LabelCorrections
from matlens.settings.declaration import FIRST_VERSION, SECOND_VERSION, Setting, by_recipe, declaration_of
from matlens.settings.files import names_of, read_settings, validated
from matlens.settings.model_options import OptionsByModel, listed, written
from matlens.settings.panels import MACHINE, NETWORKS, PHOTOS, TRAINING
from matlens.settings.protocols import is_series
from matlens.settings.renames import as_version_recorded, brought_up_to_date
from matlens.settings.themes import cluster, imbalance, photos, probe
from matlens.settings.themes import feature_precision as arithmetic
from matlens.system.console import tell_once
from matlens.system.ownership.places import default_cache_dir, default_data_dir, default_folder

DECIDE_DEFAULTS = ("recipe", "feature_cache")
"""The settings on which the defaults of others depend."""

PositiveInt = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Everything that decides what a run does. Immutable; unknown keys and impossible values are refused.

    Keys in a TOML file may be written as the guide writes them (`IMG_SIZE`) or in lower case.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    dataset_name: Annotated[str, Setting(
        help="The dataset's name on Kaggle, from which the default of data_dir follows.", resumed="may differ",
        why_no_option="--data names the folder itself", of_machine=True)] = "minc2500/minc-2500"
    data_dir: photos.DataFolder = Field(default_factory=lambda data: default_data_dir(data["dataset_name"]))
    data_address: photos.DataAddress = None
    output_dir: Annotated[Path, BeforeValidator(checks.path), Setting(
        help="Where the notebook guide's functions put a divided dataset.", resumed="may differ", of_machine=True,
        why_no_option="a run divides photos without copying them")] = Field(
            default_factory=lambda: default_folder("dataset"))
    models_dir: Annotated[Path, BeforeValidator(checks.path), Setting(
        help="Where the notebook guide's functions put trained models.", resumed="may differ", of_machine=True,
        why_no_option="a run puts them into its own folder, which --out names")] = Field(
            default_factory=lambda: default_folder("models"))
    reports_dir: Annotated[Path, BeforeValidator(checks.path), Setting(
        help="Where the notebook guide's functions put results.", resumed="may differ", of_machine=True,
        why_no_option="a run puts them into its own folder, which --out names")] = Field(
            default_factory=lambda: default_folder("reports"))

    protocol: Annotated[str | None, BeforeValidator(checks.protocol), Setting(
        option="--protocol", panel=PHOTOS, resumed="must agree", shown="what the folder has",
        help="How the photos are divided: random, grouped, prepared, minc:1, kfold:5, ... minc:1 to minc:5 are the "
             "official splits of MINC-2500. random takes 70/15/15 percent of each class; grouped does the same, but "
             "keeps together what --groups names. kfold:5:1 ... kfold:5:5 is one fold of a cross-validation. prepared "
             "takes the folders train/ val/ test/. minc:all and kfold:5 make a run of each split, and give mean and "
             "standard deviation.")] = None
    groups: Annotated[str | None, AfterValidator(checks.groups), Setting(
        option="--groups", panel=PHOTOS, resumed="must agree",
        help="Photos that must stay in one part: a file of lines path,group, or a regular expression whose (captured) "
             "text the photos of a group share, such as '(scene[0-9]+)_'. auto takes the groups that file names or the "
             "times of the photos suggest and their looks bear out. Copies of a photo always stay together.")] = None
    train_on: Annotated[Literal["train", "train+val"], Setting(
        option="--train-on", panel=PHOTOS, resumed="must agree",
        help="The parts to train on: train, or train+val, which adds the validation photos, as some papers do. The "
             "last epoch is then kept, since no photos are left to choose an epoch by.")] = "train"
    keep_truncated: Annotated[bool, Setting(option="--keep-truncated", panel=PHOTOS, resumed="must agree",
                                            help="Also use photos whose end is missing.")] = False
    corrections: LabelCorrections = Field(default_factory=dict)
    material_groups: Annotated[Path | None, BeforeValidator(checks.path), Setting(
        option="--material-groups", panel=PHOTOS, metavar="FILE", resumed="may differ",
        shown="MINC-2500's, for its classes", written=lambda value: ("material_groups.toml",) if value else None,
        help="Materials that are alike, for the accuracy at group level: a TOML file with a table groups of lists of "
             "class names. It is copied into the run's folder.")] = None
    margin: Annotated[float | None, Field(gt=0, lt=100), Setting(
        option="--margin", panel=PHOTOS, metavar="POINTS", resumed="may differ", since=SECOND_VERSION,
        help="A difference of accuracy, in percentage points, that does not matter. Two models that are not "
             "significantly different are then called equivalent within it, or undecided.")] = None
    choose_on: Annotated[Literal["test", "val"] | None, AfterValidator(checks.choose_on), Setting(
        option="--choose-on", panel=PHOTOS, resumed="may differ", since=SECOND_VERSION, shown="test",
        help="The part that says which of several models is the best. test says too by how much the best one is "
             "expected to look too good there; val leaves the choice to the validation part, and the test part "
             "confirms it.")] = None
    models: Annotated[tuple[str, ...], BeforeValidator(checks.models), Setting(
        option="--models", panel=NETWORKS, given_as=str, resumed="may differ", shown="all",
        help="The models: names separated by commas, patterns such as 'keras/EfficientNetV2B*', or all. matlens models "
             "lists what there is.")] = Field(default_factory=default_models)
    weights: Annotated[Literal["imagenet", "none", "auto"], Setting(
        option="--weights", panel=NETWORKS, resumed="must agree",
        help="What the networks start from: imagenet takes pretrained weights, none random ones, auto pretrained ones "
             "if there are any.")] = "imagenet"
    weights_dir: Annotated[Path | None, BeforeValidator(checks.path), Setting(
        option="--weights-dir", panel=NETWORKS, resumed="may differ", of_machine=True,
        help="A folder in which to look for ImageNet weights first. matlens never writes to it.")] = None
    model_options: Annotated[OptionsByModel, BeforeValidator(checks.model_options), Setting(
        option="--option", panel=NETWORKS, metavar="NAME=VALUE", given_as=list[str], resumed="must agree",
        since=SECOND_VERSION, written=written, shown="as published",
        help="An option of a network itself. alpha=0.35 sets it for all chosen models that have an option alpha (the "
             "width of MobileNetV2), mobilenetv2_transfer.alpha=0.35 for one model. May be repeated.")] = Field(
                 default_factory=dict)
    img_size: Annotated[tuple[int, int], BeforeValidator(checks.square), AfterValidator(checks.img_size), Setting(
        option="--img-size", panel=NETWORKS, given_as=int, resumed="must agree", shown="224",
        written=lambda value: (str(value[0]),) if value[0] == value[1] else None,
        help="The side, in pixels, to which photos are resized.")] = (224, 224)

    recipe: Annotated[Literal["guide", "strong", "probe"], AfterValidator(checks.recipe), Setting(
        option="--recipe", panel=TRAINING, resumed="must agree",
        help="How to train: guide takes the notebook guide's hyperparameters; strong makes the best of the same "
             "time, and trains a pretrained network from inside its trunk on; probe fits a head on a frozen pretrained "
             "trunk, in seconds and without epochs.")] = "guide"
    head: probe.ProbeHead = "linear"
    features: probe.ProbeFeatures = "last"
    max_epochs: Annotated[PositiveInt, AfterValidator(checks.max_epochs), Setting(
        option="--epochs", panel=TRAINING, resumed="must agree", shown="4, strong: 9",
        help="How many epochs each model is trained. Unless this is given, strong takes as many more as make 500 "
             "steps.")] = Field(default_factory=lambda data: by_recipe(data, 4, 9, probe=1))
    epochs_of: Annotated[dict[str, PositiveInt], AfterValidator(checks.epochs_of), Setting(
        help="Epochs of single models, by name, in place of max_epochs.", resumed="must agree",
        why_no_option="a table: [epochs_of] in a settings file")] = Field(default_factory=dict)
    auto_batch: Annotated[bool, Setting(
        help="Whether a model whose process the system kills for want of memory goes on in smaller parts.",
        resumed="may differ", why_no_option="--batch-size auto sets it", of_machine=True)] = False
    batch_size: Annotated[PositiveInt, Setting(
        option="--batch-size", panel=TRAINING, metavar="N|auto", given_as=str, resumed="must agree",
        shown="64, strong: 32",
        help="How many photos a training step takes. Where memory is short, a step computes them in parts and adds up "
             "the parts' gradients. auto takes the default; a model whose process the system kills then goes on by "
             "itself in parts of half the size.")] = Field(default_factory=lambda data: by_recipe(data, 64, 32))
    finetune_epochs: Annotated[int, Field(ge=0), AfterValidator(checks.finetune_epochs), Setting(
        option="--finetune-epochs", panel=TRAINING, resumed="must agree",
        help="How many epochs to fine-tune the last backbone layers afterwards.")] = 0
    cut: Annotated[str | None, AfterValidator(checks.cut), Setting(
        option="--cut", panel=TRAINING, resumed="must agree",
        shown="the guide's last 40 layers; strong: chosen for each model",
        help="With --finetune-epochs or --recipe strong: the layer after which the network is trained. What lies "
             "before it is computed once, and stays in the cache.")] = None
    augment: Annotated[bool, Setting(
        option="--augment/--no-augment", panel=TRAINING, resumed="must agree",
        help="Vary the training photos in each epoch.")] = True
    feature_cache: Annotated[bool, AfterValidator(checks.feature_cache), Setting(
        option="--feature-cache/--no-feature-cache", panel=TRAINING, resumed="must agree",
        help="Compute the features of a frozen trunk once and train the head on them; or train the plain way, which "
             "computes them in each epoch, from new variations of the photos.")] = True
    views: Annotated[int, Field(ge=1, le=64), AfterValidator(checks.views), Setting(
        option="--views", panel=TRAINING, resumed="must agree", shown="1, strong: 4",
        help="How many views of each training photo a frozen trunk sees: the photo as it is, and fixed variations of "
             "it.")] = Field(default_factory=lambda data: by_recipe(data, 1, 4) if data.get("feature_cache") else 1)
    class_weights: imbalance.ClassWeights = "none"
    sampling: imbalance.Sampling = "natural"
    logit_adjustment: imbalance.LogitAdjustment = None
    choose_by: imbalance.ChooseBy = "val_loss"
    early_stopping_patience: Annotated[PositiveInt, Setting(
        help="After how many epochs that choose_by calls no better than an earlier one the training of a model ends.",
        resumed="must agree", why_no_option="the guide's; it is set in a settings file")] = 5
    reduce_lr_patience: Annotated[PositiveInt, Setting(
        help="After how many epochs without a lower validation loss the learning rate is reduced.",
        resumed="must agree", why_no_option="the guide's; it is set in a settings file")] = 3
    seed: Annotated[int, Field(ge=0, lt=2**32), Setting(
        option="--seed", panel=TRAINING, resumed="must agree",
        help="Random seed for the split, the initial weights, and the order and augmentation of photos.")] = 42
    split_seed: Annotated[int | None, Field(ge=0, lt=2**32), AfterValidator(checks.split_seed), Setting(
        option="--split-seed", panel=TRAINING, resumed="must agree", since=SECOND_VERSION, shown="that of --seed",
        help="Random seed for the split, where it is to be another than that of the training.")] = None
    seeds: Annotated[int | None, AfterValidator(checks.seeds), Setting(
        option="--seeds", panel=TRAINING, resumed="may differ", since=SECOND_VERSION, shown="1",
        help="How many times to train on one and the same split, with seeds that count up from --seed: a run of each, "
             "then mean, standard deviation and an interval for the method. A larger number given later goes on with "
             "the runs that are there.")] = None
    deterministic: Annotated[bool, Setting(
        option="--deterministic", panel=TRAINING, resumed="must agree",
        help="Give the same bytes of results each time, apart from times, on one machine with as many usable cores: "
             "more or fewer threads add numbers up in another order. This is slower.")] = False

    device: Annotated[str | None, BeforeValidator(checks.device), Setting(
        option="--device", panel=MACHINE, metavar="auto|cpu|cuda|cuda:N|mps", resumed="may differ", of_machine=True,
        since=SECOND_VERSION, shown="auto",
        help="The processor to train on: cpu, cuda (the first NVIDIA or AMD GPU), cuda:1 (the second) or mps (an Apple "
             "GPU). auto takes the first NVIDIA or AMD GPU that computes, or the CPU, with a warning.")] = None
    on: cluster.On = None
    task_cpus: cluster.TaskCpus = None
    precision: Annotated[Wish, Setting(
        option="--precision", panel=MACHINE, resumed="must agree",
        help="The arithmetic of training: float32; or bfloat16 or float16, mixed with float32 where numbers are "
             "delicate, which takes a GPU about half the time and memory. auto takes the shorter type that the GPU has "
             "(bfloat16 from compute capability 8.0, float16 from 7.0), in PyTorch only where a measurement of some "
             "steps finds it faster, and float32 on a CPU. Model files hold float32 in any case.")] = "auto"
    activations: Annotated[Literal["float16", "float32"], Setting(
        option="--activations", panel=MACHINE, resumed="must agree",
        help="The type in which the cache holds activations at a cut: float16 or float32.")] = "float16"
    features_on: Annotated[Literal["auto", "openvino", "framework"], Setting(
        help="What computes the features of frozen trunks: OpenVINO, the model's own framework, or whichever is "
             "faster.", resumed="must agree", why_no_option="for comparisons; it is set in a settings file")] = "auto"
    feature_precision: arithmetic.FeaturePrecision = "float32"
    cache_dir: Annotated[Path, BeforeValidator(checks.path), Setting(
        option="--cache-dir", panel=MACHINE, resumed="may differ", of_machine=True,
        shown="MATLENS_CACHE or the platform's cache folder",
        help="The folder of the cache, which holds decoded photos, converted networks and features.")] = Field(
            default_factory=default_cache_dir)
    cache_limit: Annotated[float, Field(ge=0, allow_inf_nan=False), Setting(
        option="--cache-limit", panel=MACHINE, resumed="may differ", of_machine=True,
        help="Maximum cache size in GB after the run; least recently used items are removed, but none that a run is "
             "using.")] = 20

    @model_validator(mode="before")
    @classmethod
    def _of_today(cls, values: Any) -> Any:
        """Take names of earlier versions, and batch_size "auto", which is the recipe's and less where memory ends."""
        if not isinstance(values, dict):
            return values
        today, remarks = brought_up_to_date(values)
        for remark in remarks:
            tell_once(remark)
        if today.get("batch_size") == "auto":
            today = {"auto_batch": True, **{key: value for key, value in today.items() if key != "batch_size"}}
        return today

    @property
    def seed_of_split(self) -> int:
        """The seed from which the division of the photos follows."""
        return self.seed if self.split_seed is None else self.split_seed

    @property
    def is_series(self) -> bool:
        """Whether these settings ask for several runs: on several splits, or with several seeds."""
        return is_series(self.protocol) or (self.seeds or 1) > 1

    def options_of(self, model: str) -> dict[str, float | int | str]:
        """Return all of a model's backbone options: the spec's defaults, under those that were set for this model."""
        return {**spec_of(model).options, **self.model_options.get(model, {})}

    def epochs(self, model: str) -> int:
        """Return how many epochs a model is trained: its own in `epochs_of`, else `max_epochs`."""
        return self.epochs_of.get(model, self.max_epochs)

    def agreed(self) -> dict[str, Any]:
        """Return, as JSON values, the settings that a resumed run must agree on."""
        values = {**self.model_dump(mode="json"), "split_seed": self.seed_of_split}
        return {key: value for key, value in values.items() if key not in MAY_DIFFER}

    def recorded_by_first_version(self) -> dict[str, Any]:
        """Return what the first version's run.json holds for these settings, as JSON values."""
        return as_version_recorded(FIRST_VERSION, self.model_dump(mode="json"), {
            name: (DECLARED[name].since, field.default) for name, field in type(self).model_fields.items()})

    @classmethod
    def load(cls, file: Path | None = None, options: Mapping[str, Any] | None = None) -> Settings:
        """Load defaults, under a TOML file, under options (those that are None are not set).

        A line on standard error says which settings have another name today.

        Raises:
            SettingsError: a file that cannot be read, an unknown key, an impossible value; named.
        """
        in_file, spelled = read_settings(file)
        values, remarks = brought_up_to_date(in_file)
        given, more = brought_up_to_date({key: value for key, value in (options or {}).items() if value is not None})
        if "model_options" in values and "model_options" in given:  # what an option does not name stays as in the file
            given["model_options"] = [*listed(values["model_options"]), *listed(given["model_options"])]
        for remark in [*remarks, *more]:
            tell_once(remark)
        names = names_of(file, {key: spelled.get(key, key) for key in values}, given, DECLARED)
        return validated(cls, divided(values, names) | divided(given, names), names)

    @classmethod
    def recorded(cls, values: Mapping[str, Any], place: Path) -> Settings:
        """Return the settings that a run recorded in `place`, which may be another version's.

        A line on standard error says which settings have another name today, and which ones no longer exist and are
        passed over.

        Raises:
            SettingsError: an impossible value; named.
        """
        known, remarks = brought_up_to_date(values)
        if unknown := sorted(known.keys() - cls.model_fields):
            remarks.append(f"Settings of another version are passed over: {', '.join(unknown)}.")
        for remark in remarks:
            tell_once(f"{place}: {remark}")
        values = {key: known[key] for key in known if key in cls.model_fields}
        return validated(cls, values, names_of(place, {key: key for key in values}, (), DECLARED))


DECLARED: Mapping[str, Setting] = {name: declaration_of(field) for name, field in Settings.model_fields.items()}
"""What each setting declares, by its name."""

MAY_DIFFER = frozenset(name for name, setting in DECLARED.items() if setting.resumed == "may differ")
"""The settings that may differ when a run is resumed."""
