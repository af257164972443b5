"""What a run's settings make of classes of different sizes: photos' weights, their drawing, and the shift of scores."""

from __future__ import annotations

import numpy as np

from matlens.data.balance import Balance
from matlens.data.split.splits import Split
from matlens.settings.schema import Settings
from matlens.settings.themes.imbalance import refuse_other_classes
from matlens.types import Array, Floats, Labels

_UNEQUAL = 2
"""How many times as many photos as the smallest class the largest has, from where on balancing is worth a try."""

_NAMED = 3
"""How many classes a remark names at either end."""


def class_weights(settings: Settings, split: Split) -> Floats | None:
    """Return the weight of each class (C,), whose mean over the training photos is 1; None where none is set.

    `balanced` gives all classes the same total weight: N / (C n_c), with N training photos, n_c of the class. Raises
    SettingsError where weights are of other classes than the split's.
    """
    counts, given = _counts(split), settings.class_weights
    if given == "none":
        return None
    if isinstance(given, str):
        weights = 1 / np.maximum(counts, 1)
    else:
        refuse_other_classes(given, split.class_names)
        weights = np.array([given[name] for name in split.class_names], dtype=np.float64)
    return np.asarray(weights * counts.sum() / (weights * counts).sum(), dtype=np.float64)


def photo_weights(settings: Settings, split: Split, labels: Labels) -> Array | None:
    """Return the weight (N,) float32 in the training loss of photos with these class numbers (N,).

    None where all weigh 1. Raises SettingsError as `class_weights` does.
    """
    weights = class_weights(settings, split)
    return None if weights is None else weights[labels].astype(np.float32)


def balance_of(settings: Settings, split: Split, labels: Labels) -> Balance:
    """Return how training photos with these class numbers (N,) are weighted and drawn. Raises SettingsError."""
    return Balance(photo_weights(settings, split, labels), settings.sampling == "balanced")


def logit_shift(settings: Settings, split: Split) -> Array | None:
    """Return what logit adjustment adds to each class's score (C,) float32; None where none is asked for.

    -tau log p_c, p_c being the class's share of the training photos (Menon et al. 2021, arXiv:2007.07314, equation 9).
    """
    tau, counts = settings.logit_adjustment, _counts(split)
    if tau is None:
        return None
    return np.asarray(-tau * np.log(np.maximum(counts, 1) / counts.sum()), dtype=np.float32)


def may_need_balance(settings: Settings, split: Split) -> bool:
    """Return whether a class has twice as many training photos as another, and the settings do nothing about it."""
    counts = _counts(split)
    return bool(counts.max() >= _UNEQUAL * max(counts.min(), 1)) and settings.logit_adjustment is None and (
        settings.class_weights, settings.sampling) == ("none", "natural")


def _counts(split: Split) -> Floats:
    """Count the training photos of each class, (C,)."""
    return np.bincount(split.labels(split.part("train")), minlength=len(split.class_names)).astype(np.float64)


def remarks_on(settings: Settings, split: Split) -> tuple[str, ...]:
    """Say what a reader of the results must know: what counted more in training than its photos, or was shifted."""
    remarks = []
    weights, shift = class_weights(settings, split), logit_shift(settings, split)
    if weights is not None:
        how = settings.class_weights if isinstance(settings.class_weights, str) else "from a file"
        remarks.append(f"class weights ({how}) in the training loss: {_ends(split, weights)}; training losses are "
                       "weighted, validation and test are not")
    if settings.sampling == "balanced":
        remarks.append("balanced sampling: each epoch drew the classes equally often "
                       f"(they have {int(_counts(split).min())} to {int(_counts(split).max())} training photos)")
    if shift is not None:
        remarks.append(f"logit adjustment {settings.logit_adjustment:g}: the model's last biases hold it "
                       f"({_ends(split, shift.astype(np.float64))}); training curves are of before")
    if settings.choose_by != "val_loss":
        remarks.append(f"the epoch was chosen by validation {settings.choose_by.replace('_f1', ' F1')}")
    return tuple(remarks)


def _ends(split: Split, values: Floats) -> str:
    """Name the classes with the largest and the smallest value: 'wool 7.31, cork 0.24'; all of a few."""
    order = np.argsort(-values, kind="stable").tolist()
    named = [f"{split.class_names[number]} {values[number]:.3g}" for number in order]
    return ", ".join(named if len(named) <= 2 * _NAMED else [*named[:_NAMED], "...", *named[-_NAMED:]])
