"""Settings for classes of which there are few photos: what they weigh, how they are drawn, and what chooses the epoch.

Class weights, balanced sampling and logit adjustment all undo what the training part's class frequencies teach a
network, so a run takes one of them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from matlens.errors import SettingsError
from matlens.settings.declaration import SECOND_VERSION, Setting
from matlens.settings.panels import TRAINING
from matlens.system.files import write_text
from matlens.system.ownership.places import expanded
from matlens.system.registry import did_you_mean
from matlens.system.untrusted import TOML_LIMIT, UNREADABLE_TABLE, in_short, quoted, read_pairs, read_toml, reading

CLASS_WEIGHTS_FILE = "class_weights.csv"
"""In a run's folder: the weights that were given in a file."""

_WORDS = ("none", "balanced")
_LEAST, _MOST = 1e-6, 1e6
"""Of a weight. Beyond, the loss of the other photos would be lost in rounding."""

_NAMED = 5
"""How many classes an error names."""


def _class_weights(value: Any) -> Any:
    """Take a word, or a table of classes and positive numbers."""
    if isinstance(value, str):
        if value in _WORDS:
            return value
        raise ValueError("choose none or balanced, or give a table of classes and their weights (on the command line "
                         "a file of them: --class-weights weights.csv)")
    if not isinstance(value, Mapping) or not value:
        raise ValueError("choose none or balanced, or give a table of classes and their weights")
    return {str(name): _weight(str(name), weight) for name, weight in value.items()}


def _weight(name: str, weight: Any) -> float:
    number = float(weight) if isinstance(weight, int | float) and not isinstance(weight, bool) else math.nan
    if not _LEAST <= number <= _MOST:
        raise ValueError(f"the weight of {in_short(name, 80)} is {quoted(weight)}, and a weight is a number from "
                         f"{_LEAST:g} to {_MOST:g}")
    return number


def _balanced_alone(value: str, info: ValidationInfo) -> str:
    """Refuse balanced sampling of photos that are weighted."""
    if value == "balanced" and info.data.get("class_weights", "none") != "none":
        raise ValueError("class weights and balanced sampling both make rare classes count more; give one of "
                         "--class-weights and --sampling")
    if value == "balanced" and info.data.get("recipe") == "probe":
        raise ValueError("the recipe probe draws no photos: it fits its head to all of them at once; give "
                         "--class-weights balanced")
    return value


def _of_a_loss(value: Any, info: ValidationInfo) -> Any:
    """Refuse weights for a head that is fitted by no loss."""
    if value != "none" and info.data.get("head") == "knn":
        raise ValueError("class weights weigh a loss, and the head knn has none; give --logit-adjustment 1, or --head "
                         "linear")
    return value


def _not_on_top(value: float | None, info: ValidationInfo) -> float | None:
    """Refuse to correct for frequencies that training corrected for."""
    if value is not None and info.data.get("class_weights", "none") != "none":
        raise ValueError("logit adjustment takes off the frequencies that a network learns, and with class weights it "
                         "learns others; give one of --logit-adjustment and --class-weights")
    if value is not None and info.data.get("sampling") == "balanced":
        raise ValueError("logit adjustment takes off the frequencies that a network learns, and from balanced sampling "
                         "it learns equal ones; give one of --logit-adjustment and --sampling")
    return value


def _with_a_choice(value: str, info: ValidationInfo) -> str:
    """Refuse what chooses nothing."""
    if value != "val_loss" and info.data.get("train_on") == "train+val":
        raise ValueError("the validation part is trained on (--train-on train+val), so it cannot choose the epoch: the "
                         "last one is kept; leave --choose-by out, or give --train-on train")
    if value != "val_loss" and info.data.get("recipe") == "probe":
        raise ValueError("the recipe probe has no epochs, and chooses the strength of its penalty by the validation "
                         "loss; leave --choose-by out")
    return value


def read_class_weights(given: str) -> Any:
    """Return what --class-weights stands for: its word, or the weights in the file that it names, by class.

    A .toml file holds `class = weight`, by itself or in a table [class_weights]; any other file lines class,weight.

    Raises SettingsError, which names the file, for one that cannot be read and for a weight that cannot be.
    """
    if given in _WORDS:
        return given
    way_out = "Write lines class,weight such as glass,2.5; or give --class-weights balanced."
    try:
        file = expanded(given)
    except ValueError as error:
        raise SettingsError(f"--class-weights {quoted(given)} {error}. {way_out}") from None
    if not file.exists():
        raise SettingsError(f"--class-weights {given}: no such file.{did_you_mean(given, _WORDS)} {way_out}")
    with reading(file, "a file of class weights", SettingsError, way_out, catching=UNREADABLE_TABLE):
        weights = _in_toml(file) if file.suffix.lower() == ".toml" else _in_table(file)
        return _class_weights(weights)


def _in_toml(file: Path) -> Mapping[str, Any]:
    content = read_toml(file)
    inner = content.get("class_weights")
    if isinstance(inner, dict) and len(content) > 1:
        raise ValueError("it holds more than the table [class_weights]")
    return inner if isinstance(inner, dict) else content


def _in_table(file: Path) -> Mapping[str, Any]:
    rows = read_pairs(file, TOML_LIMIT)
    if rows and [cell.strip().lower() for cell in rows[0]] == ["class", "weight"]:
        rows = rows[1:]
    weights: dict[str, float] = {}
    for number, row in enumerate(rows, 1):
        if len(row) != 2:
            raise ValueError(f"entry {number} is not class,weight: {quoted(','.join(row))}")
        name = row[0].strip()
        if name in weights:
            raise ValueError(f"{quoted(name)} stands in it twice")
        try:
            weights[name] = float(row[1])
        except ValueError:
            raise ValueError(f"the weight of {in_short(name, 80)} is {quoted(row[1].strip())}, and no number") from None
    return weights


def refuse_other_classes(weights: str | Mapping[str, float], class_names: Sequence[str]) -> None:
    """Raise SettingsError where weights are of other classes than the dataset's; it names those."""
    if isinstance(weights, str):
        return
    unknown = [quoted(name) for name in weights if name not in class_names]
    missing = [quoted(name) for name in class_names if name not in weights]
    if unknown or missing:
        wrong = [f"{what} {_some(names)}" for what, names in (("name no class of the dataset:", unknown),
                                                            ("have no weight for:", missing)) if names]
        raise SettingsError(f"The class weights {', and '.join(wrong)}. Its classes are "
                            f"{_some(list(class_names), 20)}. Give each of them a weight in --class-weights FILE, or "
                            "give --class-weights balanced.")


def _some(names: Sequence[str], most: int = _NAMED) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def write_class_weights(weights: str | Mapping[str, float], run_dir: Path) -> None:
    """Leave weights that were given in a file in the run's folder, for who repeats the run. Raises WriteError."""
    if isinstance(weights, str):
        return
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows([("class", "weight"), *weights.items()])
    write_text(run_dir / CLASS_WEIGHTS_FILE, table.getvalue())


_Weights = Literal["none", "balanced"] | dict[str, float]

ClassWeights = Annotated[_Weights, BeforeValidator(_class_weights), AfterValidator(_of_a_loss), Setting(
    option="--class-weights", panel=TRAINING, given_as=str, metavar="WORD|FILE", resumed="must agree",
    since=SECOND_VERSION, read=read_class_weights,
    written=lambda value: (value if isinstance(value, str) else CLASS_WEIGHTS_FILE,),
    help="What a photo's class weighs in the training loss: none, balanced or a file. balanced lets all classes weigh "
         "the same, whatever their numbers of photos. A file holds lines class,weight, or class = weight in TOML. "
         "Weights are scaled so that their mean over the training photos is 1.")]

Sampling = Annotated[Literal["natural", "balanced"], AfterValidator(_balanced_alone), Setting(
    option="--sampling", panel=TRAINING, resumed="must agree", since=SECOND_VERSION,
    help="How an epoch draws training photos. natural takes each once. balanced takes as many photos in all, of each "
         "class equally many: of frequent classes some, of rare ones each several times.")]

LogitAdjustment = Annotated[
    Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] | None, AfterValidator(_not_on_top), Setting(
        option="--logit-adjustment", panel=TRAINING, given_as=float, metavar="TAU", resumed="must agree",
        since=SECOND_VERSION, shown="none",
        help="How much of the class frequencies a trained network unlearns: TAU times the logarithm of each class's "
             "share of the training photos is taken off its score (Menon et al. 2021). 1 is usual.")]

ChooseBy = Annotated[Literal["val_loss", "macro_f1", "accuracy"], AfterValidator(_with_a_choice), Setting(
    option="--choose-by", panel=TRAINING, resumed="must agree", since=SECOND_VERSION,
    help="What chooses the epoch whose weights are kept, on the validation part: the lowest loss, or the highest macro "
         "F1 or accuracy. It also decides when training ends early; the learning rate goes by the loss in any case.")]
