"""The explanation methods by name, and which questions each of them answers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import TypeVar, cast, get_args

from matlens.errors import SettingsError
from matlens.explanation.explainer import Explainer, Question
from matlens.models.head import Score
from matlens.system.registry import Registry

EXPLAINERS: Registry[Explainer] = Registry("explanation method", "matlens.explanation.methods")
"""Each file of `explanation/methods/` registers the method that it declares."""

DEFAULT_METHOD = "gradcam"
"""What a run explains its test photos by, and what is meant where no method is named."""

BASELINES = ("random", "centre")
"""The maps that faithfulness measures beside a method's: no method may have their names."""

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*", re.ASCII)
"""What can stand in a file's name on any system."""

AnyExplainer = TypeVar("AnyExplainer", bound=Explainer)


def register(declared: type[AnyExplainer]) -> type[AnyExplainer]:
    """Register a subclass of `GradientMethod`, `ForwardMethod` or `AttentionMethod`; use it as a decorator of the
    class.

    Raises:
        ValueError: the declaration is incomplete, or its name is taken; the message names it.
    """
    called = declared.name or declared.__name__
    if not _NAME.fullmatch(declared.name) or declared.name in BASELINES:
        raise ValueError(f"the explanation method {called} cannot have the name '{declared.name}': names are letters, "
                         f"digits, . + - and _, and not {' or '.join(BASELINES)}")
    if not declared.title or not declared.scores:
        raise ValueError(f"the explanation method '{called}' has no {'title' if not declared.title else 'scores'}")
    if inspect.isabstract(declared):
        raise ValueError(f"the explanation method '{called}' does not say what it makes of gradients, answers or "
                         f"attention: it must override {', '.join(sorted(declared.__abstractmethods__))}")
    EXPLAINERS.register(declared())
    return declared


def title_of(name: str) -> str:
    """Return a method's title; of one that is not registered (any more), such as a plug-in's, its name."""
    return EXPLAINERS[name].title if name in EXPLAINERS else name


def question_for(method: Explainer, target: int | None = None, score: str | None = None, layer: str | None = None,
                 ) -> Question:
    """Put the question that a method is asked; without a score, for the one that it explains by itself.

    Raises:
        SettingsError: the method cannot answer it; the message names methods that can.
    """
    if not method.uses_class and (target is not None or score is not None):
        asked_for = "class of your choice (--target)" if score is None else f"{score} of a class (--score)"
        raise SettingsError(f"{method.title} shows what goes into the answer, whatever the class, so it can explain no "
                            f"{asked_for}. Leave it out, or choose {_names(lambda other: other.uses_class)}.")
    if layer and not method.uses_layer:
        raise SettingsError(f"{method.title} looks at no layer, so it cannot look at {layer}. Leave the layer out, or "
                            f"choose {_names(lambda other: other.uses_layer)}.")
    if score is not None and score not in get_args(Score):
        raise SettingsError(f"There is no score '{score}' (--score). Choose from {', '.join(get_args(Score))}.")
    asked = method.scores[0] if score is None else cast(Score, score)
    if asked not in method.scores:
        able = _names(lambda other: other.uses_class and asked in other.scores)
        raise SettingsError(f"{method.title} explains the {' or the '.join(method.scores)}, not the {asked} (--score). "
                            f"Methods that explain the {asked}: {able}.")
    if layer and asked != "logit":
        raise SettingsError(f"At a layer of your choice (--layer {layer}) the framework differentiates the logit, not "
                            f"the {asked} (--score). Leave one of them out.")
    return Question(target, asked)


def _names(where: Callable[[Explainer], bool]) -> str:
    return ", ".join(method.name for method in EXPLAINERS.entries() if where(method))
