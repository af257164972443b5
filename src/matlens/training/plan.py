"""How each model of a run is trained: what of it is frozen, and so computed once, and what is trained on that."""

from __future__ import annotations

from dataclasses import dataclass

from matlens.features.trunks import LAST_LAYERS
from matlens.models.registry import spec_of
from matlens.settings.schema import Settings


@dataclass(frozen=True)
class Plan:
    """head: the head is trained on averaged features of the whole trunk.

    cut: (then) what follows this layer is trained, on activations of it or, where nothing is kept, on photos; None
        where nothing inside the trunk is trained, or all of it.
    keeps: whether features and activations are kept.
    """

    head: bool = False
    cut: str | None = None
    keeps: bool = False

    @property
    def trunks(self) -> tuple[str | None, ...]:
        """Up to which layers trunks are needed; None is the whole trunk."""
        if not self.keeps:
            return ()
        return ((None,) if self.head else ()) + ((self.cut,) if self.cut else ())


def plan(settings: Settings, name: str, pretrained: bool) -> Plan:
    """The plan for one model. Without pretrained weights nothing can be frozen: all of it is trained on photos."""
    info = spec_of(name)
    if not pretrained:
        return Plan()
    if settings.recipe == "strong":
        return Plan(cut=settings.cut or info.strong_cut, keeps=settings.feature_cache)
    if info.head is None:  # trained whole, unless told from where on
        return Plan(cut=settings.cut, keeps=settings.feature_cache and settings.cut is not None)
    cut = (settings.cut or LAST_LAYERS) if settings.finetune_epochs else None
    return Plan(head=settings.feature_cache, cut=cut, keeps=settings.feature_cache)
