"""The settings of a run as its page shows them: those that decided something, and what became of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from matlens.evaluation.results import Results
from matlens.settings.schema import DECLARED

_PLACES = frozenset(name for name, setting in DECLARED.items() if setting.of_machine)
"""Where a user keeps things, and what a machine has. The name that a dataset has on Kaggle is among them."""

_UNLESS_ASKED = frozenset({"finetune_epochs", "keep_truncated", "deterministic", "auto_batch"})
"""Where these are 0 or false, nothing was done."""

_OF_A_CUT = frozenset({"activations"})
_OF_EPOCHS = frozenset({"max_epochs", "batch_size", "early_stopping_patience", "reduce_lr_patience", "choose_by",
                        "sampling", "finetune_epochs"})
"""What a probe, which is fitted and not trained by epochs, takes no notice of."""

_OF_A_PROBE = frozenset({"head", "features"})
"""What the other recipes take no notice of: they train the head that a model declares."""

_AUGMENTATION = ("augment", "views", "feature_cache")
_VIEWS = re.compile(r"trained on \d+ fixed views[^;(]*")


def applied_settings(recorded: Mapping[str, Any], results: Iterable[Results]) -> Iterator[tuple[str, Any]]:
    """Yield name and value of the recorded settings that decided something.

    What decides whether training photos were varied (`augment`, `views`, `feature_cache`) is one line for all three: it
    says what was done, as the remarks on the models do.
    """
    judged = tuple(results)
    for name, value in recorded.items():
        if name in _PLACES or value is None or value in ({}, [], "") or (name in _UNLESS_ASKED and not value):
            continue
        if name in _AUGMENTATION and judged:
            if name == "augment":
                yield from _augmentation(bool(value), judged)
            continue
        if name in _OF_A_CUT and not (recorded.get("finetune_epochs") or recorded.get("recipe") == "strong"):
            continue
        if name in _OF_EPOCHS and recorded.get("recipe") == "probe":
            continue
        if name in _OF_A_PROBE and recorded.get("recipe") != "probe":
            continue
        yield name, DECLARED[name].in_short(value) if name in DECLARED else value


def _augmentation(asked: bool, results: Iterable[Results]) -> Iterator[tuple[str, str]]:
    """Say of each model how its training photos were varied; once, if it is the same of all."""
    done = {result.model_name: _varied(asked, "; ".join(result.remarks)) for result in results}
    if len(set(done.values())) == 1:
        yield "augmentation", next(iter(done.values()))
    else:
        yield from ((f"augmentation of {name}", words) for name, words in done.items())


def _varied(asked: bool, remarks: str) -> str:
    if "without augmentation" in remarks:
        return "none (features of each photo were computed once)" if asked else "none"
    if views := _VIEWS.search(remarks):
        return views[0].strip().removeprefix("trained on ")
    return "new variations in each epoch" if asked else "none"
