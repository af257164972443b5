"""Attention rollout: the products by hand, and the attention as a tiny vision transformer has it."""

from __future__ import annotations

import numpy as np
import pytest

from matlens.errors import ModelError, SettingsError
from matlens.explanation.artifact_model import ArtifactModel
from matlens.explanation.explainer import Question
from matlens.explanation.registry import EXPLAINERS, question_for
from matlens.features.artifact import Artifact
from matlens.models.capabilities.attention import Attention, attention_of
from matlens.runs.run import Run
from small_run import NAMES, patched

ROLLOUT = EXPLAINERS["rollout"]


def attention(blocks: list[list[list[float]]], pooled: list[float], grid: tuple[int, int]) -> Attention:
    return Attention(np.array([blocks], np.float32), np.array(pooled, np.float32), grid)


TWO_BLOCKS = [[[0, 1, 0], [0, 0, 1], [0, 0, 1]],   # the class token takes from patch 1, that from patch 2
              [[1, 0, 0], [1, 0, 0], [0, 1, 0]]]
"""Of a class token and two patches. By hand, with each token half itself:

    first block   second block    their product
    .5 .5 0       1  0  0         .5  .5   0
    0  .5 .5      .5 .5 0         .25 .5  .25
    0  0  1       0  .5 .5        0   .25 .75
"""


@pytest.mark.parametrize(("pooled", "expected"), [
    pytest.param([1, 0, 0], [0.5, 0], id="class token"),
    pytest.param([0, 0.5, 0.5], [0.375, 0.5], id="mean of the patches"),
    pytest.param([0.5, 0.25, 0.25], [0.4375, 0.25], id="half of each")])
def test_blocks_are_multiplied_each_with_what_its_tokens_keep(pooled, expected):
    """The first block stands on the right: what is looked at lies in the photo."""
    heat = ROLLOUT.heat(attention(TWO_BLOCKS, pooled, (1, 2)))
    np.testing.assert_allclose(heat, np.array([[expected]]) / max(expected), atol=1e-6)


def test_registers_are_no_places():
    """They stand between class token and patches, and often have the most attention of all."""
    one_block = [[[0, 0.6, 0.3, 0.1]] * 4]
    heat = ROLLOUT.heat(attention(one_block, [1, 0, 0, 0], (2, 1)))
    np.testing.assert_allclose(heat, [[[1], [1 / 3]]], atol=1e-6)


def test_a_class_or_a_score_of_ones_choice_is_refused():
    """The map would be the same for each, and be taken for an answer."""
    for asked in ({"target": 1}, {"score": "logit"}, {"layer": "blocks.1"}):
        with pytest.raises(SettingsError, match=r"Attention rollout.*gradcam"):
            question_for(ROLLOUT, **asked)
    assert question_for(ROLLOUT) == Question()


def test_a_model_without_attention_is_refused_by_its_name(small_run):
    """And the way out is a method that explains it."""
    with pytest.raises(ModelError, match=r"acme/tiny.*no vision transformer.*--method gradcam"):
        attention_of(object(), np.zeros((1, 8, 8, 3), np.float32), "acme/tiny")
    alone = ArtifactModel(Artifact.open(Run.open(small_run).paths.artifact(NAMES[0])))
    with pytest.raises(ModelError, match=NAMES[0]):
        ROLLOUT.maps(alone, np.stack([patched("red", (0, 1))]), Question())
