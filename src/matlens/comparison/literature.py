"""Published results on MINC-2500, to be read beside a run's. Their protocols differ, so they are not ranked with it.

MINC-2500's classes have the same number of photos, so mean class accuracy is accuracy. On the 5,750 test photos of one
split a standard error at 80 % is 0.53 points.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from matlens.data.source.minc import CLASS_NAMES
from matlens.evaluation.results import Results


@dataclass(frozen=True)
class Published:
    """A result as its authors give it.

    accuracy: a share in [0, 1]; differs: what sets it apart from a run here; source: where it stands (URL).
    """

    model: str
    accuracy: float
    protocol: str
    differs: str
    source: str

    @property
    def cells(self) -> dict[str, Any]:
        """Its values in a comparison's columns; the others are unknown."""
        return {"model": f"published: {self.model}", "accuracy": self.accuracy, "protocol": self.protocol,
                "remarks": self.differs, "source": self.source}


MINC_2500 = (
    Published("AlexNet (Bell et al. 2015)", 0.760, "mean over splits 1 to 5, ± 0.2",
              "fine-tuned from ImageNet; the mean class accuracy of five splits",
              "https://arxiv.org/abs/1412.0623"),
    Published("Deep-TEN on ResNet50 (Zhang et al. 2017)", 0.813, "official splits",
              "trained whole, at several photo sizes around 352 px, with an encoding layer on top",
              "https://arxiv.org/abs/1612.02844"),
    Published("Deep-TEN on ResNet50 (PyTorch-Encoding)", 0.8104, "split 1, single crop",
              "the authors' port, at 224 px; the epoch was chosen by the test part",
              "https://github.com/zhanghang1989/PyTorch-Encoding"),
    Published("ResNet50, fine-tuned (as AutoGluon quotes it)", 0.776, "not stated",
              "a baseline in AutoGluon's table, which refers to Zhang et al. 2017",
              "https://github.com/autogluon/autogluon"),
    Published("ResNet50 (AutoGluon)", 0.803, "split 1",
              "best of a random search of 400 trials; the test part served as validation part",
              "https://github.com/autogluon/autogluon"),
)
"""In the order in which they were published."""


def published_beside(judged: Iterable[Results]) -> tuple[Published, ...]:
    """Return the published results if all of these models know MINC-2500's 23 classes, else none."""
    return MINC_2500 if all(set(results.class_names) == set(CLASS_NAMES) for results in judged) else ()
