"""What every registered model must do, whatever its framework: build, predict, divide, save, load."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from matlens.errors import ModelError
from matlens.models.protocol import BuildOrder, room_of
from matlens.models.registry import MODELS

CLASSES, SIDE = 3, 64
PHOTOS = np.random.default_rng(0).random((4, SIDE, SIDE, 3), dtype=np.float32)

every_model = pytest.mark.parametrize("name", [
    pytest.param(spec.name, marks=getattr(pytest.mark, spec.framework)) for spec in MODELS.entries()])


def order_of(name: str) -> BuildOrder:
    return BuildOrder(name, CLASSES, MODELS[name].sizes[0] if MODELS[name].sizes else (SIDE, SIDE))


@cache
def built(name: str) -> Any:
    """From random weights, with normalisation fitted to the photos: else its answers are the same to everything."""
    room = room_of(name)
    room.seed(1, False)
    classifier = room.build(order_of(name))
    if classifier.trains_statistics:
        classifier.recompute_statistics([(PHOTOS, np.zeros((len(PHOTOS), CLASSES), np.float32))])
    return classifier


@pytest.mark.slow
@every_model
def test_it_answers_with_probabilities(name):
    """Everything later is computed from them."""
    classifier = built(name)
    found = classifier.predict(PHOTOS)
    assert (found.shape, found.dtype) == ((4, CLASSES), np.float32)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    every, trainable = classifier.parameters
    assert every >= trainable > 0
    assert classifier.num_classes == CLASSES
    assert classifier.input_size in (None, order_of(name).img_size)
    assert str(classifier.device).partition(":")[0] in ("cpu", "gpu", "cuda")


@every_model
def test_its_head_on_its_features_is_the_model(name):
    """Artifact, Grad-CAM and training on features all rest on that."""
    classifier = built(name)
    head = classifier.head()
    assert head.pooling == MODELS[name].pooling
    np.testing.assert_allclose(head.probabilities(classifier.features(PHOTOS)), classifier.predict(PHOTOS), atol=1e-4)


@pytest.mark.slow
@every_model
def test_it_can_be_cut_where_its_spec_says_and_nowhere_else(name):
    """What follows the cut, on the cut's activations, is trained in place of the whole."""
    classifier, spec = built(name), MODELS[name]
    with pytest.raises(ModelError, match="cut after 'nothing'"):
        classifier.features(PHOTOS, "nothing")
    cut = spec.strong_cut or classifier.last_conv_layer_name
    activations = classifier.features(PHOTOS, cut)
    labels = np.eye(CLASSES, dtype=np.float32)[[0, 1, 2, 0]]
    loss = classifier.after(cut).validate([(activations, labels)])
    assert loss.accuracy == classifier.validate([(PHOTOS, labels)]).accuracy


@pytest.mark.slow
@every_model
def test_its_file_brings_it_back(name, tmp_path):
    """The file is what people keep."""
    classifier, path = built(name), tmp_path / f"m{MODELS[name].suffix}"
    classifier.save(path, {"class_names": ["a", "b", "c"]})
    np.testing.assert_allclose(room_of(name).load(path, order_of(name)).predict(PHOTOS), classifier.predict(PHOTOS),
                               atol=1e-6)


@pytest.mark.slow
@every_model
def test_its_trunk_in_openvino_is_its_own(name, tmp_path):
    """Features are computed there, and laid out channels first without a transposition inside."""
    from matlens.features.engine import TrunkEngine
    from matlens.features.layout import lay_channels_first

    classifier = built(name)
    head = classifier.export_trunk(tmp_path)
    assert lay_channels_first(tmp_path / "trunk.xml") == ""
    found = head.probabilities(TrunkEngine(tmp_path / "trunk.xml").features(PHOTOS))
    np.testing.assert_allclose(found, classifier.predict(PHOTOS), atol=1e-4)
