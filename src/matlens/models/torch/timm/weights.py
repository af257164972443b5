"""Weights of a network of timm from a file: all that it needs, or none, and nothing but tensors."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from matlens.errors import WeightsError
from matlens.models.torch.files import tensors_in
from matlens.system.untrusted import open_regular, reading

_NAMED = 4
"""Names that a refusal lists."""

_NORMS = ("fc_norm.", "head.norm.")
"""Behind the pooling, and yet a part of the trunk (`forms.Ending`)."""


def load_into(backbone: nn.Module, path: Path, name: str, unused: tuple[str, ...]) -> None:
    """Load a file of weights into a network without a classifier.

    Position embeddings of another size of photos are interpolated, as timm does it.

    unused: the network's modules behind its features, of which the file may hold weights: the classifier, above all.

    Raises:
        WeightsError: it is no file of weights, or of another network; the network is then as it was.
    """
    way_out = (f"Name the folder of the weights of {name} with --weights-dir, or train from random weights: "
               "--weights none")
    with reading(path, f"a file of the weights of {name}", WeightsError, way_out, (Exception,)):
        state = _in_timms_names(_tensors(path), backbone)
        ours = backbone.state_dict()
        behind = tuple(f"{child}." for child in (*unused, *_classifier(backbone)))
        needed = {key: values for key, values in ours.items() if key.startswith(_NORMS) or not key.startswith(behind)}
        wrong = [*(f"{key}: {tuple(state[key].shape)} in the file, {tuple(values.shape)} in the network"
                   for key, values in needed.items() if key in state and state[key].shape != values.shape),
                 *(f"{key}: not in the file" for key in needed if key not in state),
                 *(f"{key}: in the file alone" for key in state if key not in ours and not key.startswith(behind))]
        if wrong:
            more = f", and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
            raise WeightsError(f"{path} does not fit {name}: {'; '.join(wrong[:_NAMED])}{more}. {way_out}")
        backbone.load_state_dict({key: state[key] for key in needed}, strict=False)


def _tensors(path: Path) -> dict[str, Any]:
    if path.suffix != ".safetensors":
        state: dict[str, Any] = tensors_in(path, "cpu")
        return state
    from safetensors.torch import load_file

    open_regular(path).close()
    return load_file(path)


def _in_timms_names(state: dict[str, Any], backbone: nn.Module) -> dict[str, torch.Tensor]:
    """Return weights by the names that timm gives them today, with the filter of the network's own file."""
    if "_conv_stem.weight" in state:
        state = _from_lukemelas(state, backbone)
    change = getattr(sys.modules[type(backbone).__module__], "checkpoint_filter_fn", None)
    if change is not None and len(inspect.signature(change).parameters) >= 2:
        state = change(state, backbone)
    for key in ("model", "state_dict"):
        state = state[key] if isinstance(state.get(key), dict) else state
    return state


_AROUND_BLOCKS = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2",
                  "_fc": "classifier"}
_EXPANDING = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
              "_project_conv": "conv_pwl", "_bn2": "bn3"}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def _from_lukemelas(state: dict[str, Any], backbone: nn.Module) -> dict[str, Any]:
    """Translate the names of the other port of EfficientNet to PyTorch (efficientnet-pytorch by L. Melas-Kyriazi).

    It counts all blocks in one row, timm those of each stage. A name that it does not have stays as it is.
    """
    matches = (re.match(r"blocks\.\d+\.\d+", key) for key in backbone.state_dict())
    blocks = list(dict.fromkeys(match[0] for match in matches if match))
    translated = {}
    for key, values in state.items():
        place, names, name = "", _AROUND_BLOCKS, key
        if (match := re.match(r"(_blocks\.(\d+)\.)(.+)", key)) and int(match[2]) < len(blocks):
            place, name = f"{blocks[int(match[2])]}.", match[3]
            names = _EXPANDING if f"{match[1]}_expand_conv.weight" in state else _PLAIN
        module, dot, tensor = name.partition(".")
        translated[f"{place}{names[module]}{dot}{tensor}" if module in names else key] = values
    return translated


def _classifier(backbone: nn.Module) -> tuple[str, ...]:
    names = getattr(backbone, "pretrained_cfg", {}).get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)
