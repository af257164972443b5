"""Features in fewer bits beside float32's, on validation photos: whether a head that was trained on them may stay."""

from __future__ import annotations

from dataclasses import dataclass

from matlens.features.precision.answers import compared_answers, points_lost
from matlens.models.head import AnyHead
from matlens.settings.themes.feature_precision import FeatureArithmetic
from matlens.types import Array, Labels

MOST_LOST = 1.0
"""Percentage points of accuracy: as many as `matlens export --int8` allows."""


@dataclass(frozen=True)
class PrecisionComparison:
    """What a head makes of validation photos from features of two arithmetics.

    asked: the shorter arithmetic. used: that of the features on which the head of the model was trained.
    float32_accuracy, accuracy: fractions, from float32's features and from the shorter ones.
    agreement: the fraction of photos for which both give the same class.
    parity: the largest difference of a probability.
    """

    asked: FeatureArithmetic
    used: FeatureArithmetic
    n_photos: int
    float32_accuracy: float
    accuracy: float
    agreement: float
    parity: float

    @property
    def lost(self) -> float:
        """Percentage points that the head loses on float32's features, which the model sees; below 0 it gains."""
        return points_lost(self.accuracy, self.float32_accuracy)

    @property
    def holds(self) -> bool:
        """Whether the head may stay."""
        return self.lost <= MOST_LOST

    @property
    def remark(self) -> str:
        """What a reader of the results must know."""
        figures = (f"of {self.n_photos} validation photos its head has {100 * self.accuracy:.1f} % right by "
                   f"{self.asked} features and {100 * self.float32_accuracy:.1f} % by float32's, the same class for "
                   f"{100 * self.agreement:.1f} %")
        if self.used == self.asked:
            return f"its head was trained on features computed in {self.asked}: {figures}; what is judged is float32"
        return (f"features were computed in float32, although {self.asked} was asked for: {figures} (allowed: "
                f"{MOST_LOST:g} point less)")


def compare_precisions(head: AnyHead, shorter: Array, float32: Array, labels: Labels,
                       asked: FeatureArithmetic = "bfloat16") -> PrecisionComparison:
    """Let a head that was trained on shorter features answer validation photos from both.

    Args:
        shorter, float32: pooled features (N, K) of the same photos. labels: (N,) their classes.
    """
    before, after = (head.probabilities(features[:, None, None, :]) for features in (float32, shorter))
    return PrecisionComparison(asked, asked, *compared_answers(before, after, labels))
