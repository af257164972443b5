"""Heat maps: the closed form by hand, and on trained networks."""

from __future__ import annotations

import numpy as np
import pytest
from heat import heatmaps

from matlens.evaluation.choice import chosen_for_grid
from matlens.evaluation.predictions import Predictions
from matlens.explanation.overlay import overlay_heatmap
from matlens.models.head import Dense, Head


def test_a_heat_map_by_hand():
    """Two channels, averaged, one dense layer: the weights are kernel / places."""
    features = np.zeros((1, 2, 2, 2), np.float32)
    features[0, :, :, 0] = [[4, 0], [0, 0]]
    features[0, :, :, 1] = [[0, 0], [2, 8]]
    head = Head("avg", (Dense(np.array([[1, 0], [-1, 0.5]], np.float32), np.zeros(2, np.float32), "softmax"),))
    np.testing.assert_allclose(heatmaps(features, head, np.array([0]))[0], [[1, 0], [0, 0]])
    np.testing.assert_allclose(heatmaps(features, head, np.array([1]))[0], [[0, 0], [0.25, 1]])
    np.testing.assert_allclose(heatmaps(-features, head, np.array([1]))[0], 0)


@pytest.mark.parametrize("pooling", ["avg", "max_flatten"])
def test_the_gradient_is_that_of_finite_differences(pooling):
    """Odd sizes, a ReLU and a softmax on the way."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)
    width = 3 if pooling == "avg" else 2 * 2 * 3
    layers = tuple(Dense(rng.normal(size=shape).astype(np.float32), rng.normal(size=shape[1]).astype(np.float32), kind)
                   for shape, kind in (((width, 6), "relu"), ((6, 5), "softmax"), ((5, 4), "softmax")))
    head = Head(pooling, layers)
    found = head.channel_gradients(head.forward(features), np.array([1, 3]), 3)
    step = 1e-2
    for channel in range(3):
        up, down = features.copy(), features.copy()
        up[..., channel] += step
        down[..., channel] -= step
        slope = (head.logits(up) - head.logits(down))[[0, 1], [1, 3]] / (2 * step)
        np.testing.assert_allclose(found[:, channel], slope, atol=2e-3)


def test_overlay_is_a_photo_of_the_same_size():
    """Cold is blue, warm is red, and without heat colours the photo shines through."""
    photo = np.full((20, 30, 3), 0.5, np.float32)
    out = overlay_heatmap(np.array([[0, 1]], np.float32), photo, alpha=0.5)
    assert (out.shape, out.dtype) == ((20, 30, 3), np.uint8)
    assert out[10, 0, 2] > out[10, 0, 0]
    assert out[10, -1, 0] > out[10, -1, 2]
    np.testing.assert_array_equal(overlay_heatmap(np.zeros((2, 2), np.float32), photo, alpha=0), 128)


def test_the_grid_shows_mistakes_and_every_class():
    """Only hits, or only one class, would be an advertisement."""
    labels = np.repeat([0, 1, 2], 20)
    probabilities = np.full((60, 3), 0.1, np.float32)
    answers = labels.copy()
    answers[[0, 20, 40, 41]] = [1, 2, 0, 0]
    probabilities[np.arange(60), answers] = 0.8
    chosen = chosen_for_grid(Predictions(probabilities, labels, tuple(map(str, range(60)))), 12)
    assert len(set(chosen)) == 12
    assert {0, 20, 40, 41} <= set(chosen)
    assert {int(labels[index]) for index in chosen} == {0, 1, 2}


@pytest.mark.slow
@pytest.mark.keras
@pytest.mark.parametrize(("model", "epochs"), [
    ("mobilenetv2_transfer", 8), pytest.param("resnet50_transfer", 6, marks=pytest.mark.families)])
def test_keras_models_light_up_the_marked_corner(tmp_path, model, epochs):
    """A quarter would be chance. VGG19 from scratch learns too slowly for it; its gradients are compared elsewhere."""
    from corner import share_of_found_corners

    assert share_of_found_corners(model, tmp_path, side=96, epochs=epochs) > 0.5


@pytest.mark.slow
@pytest.mark.torch
def test_googlenet_lights_up_the_marked_corner(tmp_path):
    """The same for the other room."""
    from corner import share_of_found_corners

    assert share_of_found_corners("inception_v1", tmp_path, side=96, epochs=4) > 0.5


def test_the_check_of_places_sees_a_map_that_lies_otherwise():
    """Else it would say of any network that its map lies right."""
    from corner import moved_most_by

    def places(photos):
        return photos.reshape(len(photos), 4, 8, 4, 8, 3).mean((2, 4))

    assert moved_most_by(places, 32).tolist() == [[0, 1], [2, 3]]
    assert moved_most_by(lambda photos: places(photos).transpose(0, 2, 1, 3), 32).tolist() == [[0, 2], [1, 3]]
    assert moved_most_by(lambda photos: places(photos)[:, ::-1], 32).tolist() == [[2, 3], [0, 1]]
