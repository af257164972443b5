"""GoogLeNet (Inception V1; Szegedy et al. 2014) from torchvision, with another number of classes.

Its published weights were trained on torchvision's normalisation by ImageNet's mean and deviation, followed by
GoogLeNet's own `transform_input`, which undoes it: (x - 0.5) / 0.5 in one step. So `transform_input` is off here, and
the spec's preprocessing is that one step.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from torch import nn
from torchvision.models import GoogLeNet

from matlens.models.torch.files import load_pretrained
from matlens.models.torch.network import DividedModule

_TRUNK = ("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3", "inception4a",
          "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4", "inception5a", "inception5b")

_AUXILIARY_WEIGHT = 0.3
"""Of each auxiliary classifier's loss (Szegedy et al. 2014, section 5)."""


def googlenet(num_classes: int, weights_file: Path | None = None) -> DividedModule:
    """Build GoogLeNet from a file of ImageNet weights or, without one, from random weights. Raises WeightsError."""
    if weights_file is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of a change to come of torchvision's default
            module = GoogLeNet(aux_logits=True, transform_input=False, init_weights=True)
    else:
        module = GoogLeNet(aux_logits=True, transform_input=False, init_weights=False)
        load_pretrained(module, weights_file, "torchvision's GoogLeNet")
    for classifier, name in ((module, "fc"), (module.aux1, "fc2"), (module.aux2, "fc2")):
        setattr(classifier, name, nn.Linear(getattr(classifier, name).in_features, num_classes))
    return DividedModule(module, _TRUNK, ("avgpool", "dropout", "fc"), pretrained=weights_file is not None,
                         auxiliary={"inception4a": "aux1", "inception4d": "aux2"}, auxiliary_weight=_AUXILIARY_WEIGHT)
