"""Heat maps by other methods than Grad-CAM: by hand, by autodiff of the paper's own definition, at every head."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special
from heat import from_gradients, gradient_method, heatmaps

from matlens.explanation.explainer import GradientMethod
from matlens.explanation.registry import EXPLAINERS
from matlens.models.head import Dense, Head

GRADIENT_METHODS = [method.name for method in EXPLAINERS.entries() if isinstance(method, GradientMethod)]


def random_head(pooling: str, places: tuple[int, int], channels: int, seed: int = 0) -> Head:
    """A ReLU on the way, and as wide as the feature map needs."""
    rng = np.random.default_rng(seed)
    width = channels if pooling == "avg" else (places[0] // 2) * (places[1] // 2) * channels
    return Head(pooling, tuple(
        Dense(rng.normal(size=shape).astype(np.float32), rng.normal(size=shape[1]).astype(np.float32), kind)
        for shape, kind in (((width, 6), "relu"), ((6, 4), "softmax"))))


def exact_logits(head: Head, features: np.ndarray) -> np.ndarray:
    """In float64, so that differences may be small: (B, C)."""
    batch, height, width, depth = features.shape
    if head.pooling == "avg":
        x = features.mean(axis=(1, 2))
    else:
        rows, columns = height // 2, width // 2
        windows = features[:, : 2 * rows, : 2 * columns].reshape(batch, rows, 2, columns, 2, depth)
        x = windows.max((2, 4)).reshape(batch, -1)
    hidden, last = head.layers
    return np.maximum(x @ hidden.kernel.astype(float) + hidden.bias, 0) @ last.kernel.astype(float) + last.bias


def test_the_three_by_hand():
    """One channel, two places: gradients 2 and -1, features 3 and 1, whose sum is 4."""
    features = np.array([3.0, 1.0], np.float32).reshape(1, 1, 2, 1)
    gradients = np.array([2.0, -1.0], np.float32).reshape(1, 1, 2, 1)
    # Of Grad-CAM++, alpha of the rising place is 4 / (2 x 4 + 4 x 8) = 0.1, so the channel counts 0.1 x 2.
    for name, expected in (("gradcam", [1.5, 0.5]), ("hirescam", [6, -1]), ("gradcam++", [0.6, 0.2])):
        found = gradient_method(name).evidence(features, gradients)
        np.testing.assert_allclose(found.ravel(), expected, rtol=1e-6, err_msg=name)


def test_a_channel_before_its_activation_cannot_turn_grad_cam_plus_plus_around():
    """Where sums are negative the denominator of the paper may be 0 or below it."""
    features = np.full((1, 1, 2, 1), -1, np.float32)
    for gradient in (1.0, 2.0):
        gradients = np.full_like(features, gradient)
        np.testing.assert_array_equal(gradient_method("gradcam++").evidence(features, gradients), 0)


@pytest.mark.parametrize("pooling", ["avg", "max_flatten"])
def test_the_gradient_at_each_place_is_that_of_finite_differences(pooling):
    """Odd sizes: a last row that no window covers has none."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)
    head = random_head(pooling, (5, 4), 3)
    classes = np.array([1, 3])
    found = head.gradients(head.forward(features), classes, features)
    step = 1e-6
    for place in np.ndindex(5, 4, 3):
        up, down = features.astype(np.float64), features.astype(np.float64)
        up[(slice(None), *place)] += step
        down[(slice(None), *place)] -= step
        slope = (exact_logits(head, up) - exact_logits(head, down))[[0, 1], classes] / (2 * step)
        np.testing.assert_allclose(found[(slice(None), *place)], slope, atol=1e-4)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), head.channel_gradients(head.forward(features), classes, 3),
                               atol=1e-5)


@pytest.mark.parametrize("pooling", ["avg", "max_flatten"])
def test_the_probability_has_a_gradient_of_its_own(pooling):
    """By finite differences of the probabilities: what speaks for other classes counts against this one."""
    rng = np.random.default_rng(5)
    features = rng.normal(size=(2, 4, 4, 3)).astype(np.float32)
    head, classes = random_head(pooling, (4, 4), 3), np.array([1, 3])
    values, step = head.forward(features), 1e-6
    found = head.channel_gradients(values, classes, 3, "probability")
    for channel in range(3):
        up, down = features.astype(np.float64), features.astype(np.float64)
        up[..., channel] += step
        down[..., channel] -= step
        after, before = (scipy.special.softmax(exact_logits(head, each), axis=1) for each in (up, down))
        np.testing.assert_allclose(found[:, channel], (after - before)[[0, 1], classes] / (2 * step), atol=1e-4)
    summed = head.gradients(values, classes, features, "probability").sum(axis=(1, 2))
    np.testing.assert_allclose(summed, found, atol=1e-5)
    assert np.abs(found - head.channel_gradients(values, classes, 3)).max() > 0.01


def test_behind_a_global_average_hirescam_is_gradcam():
    """Why three of the four models need no choice between them; VGG19's flattening does."""
    features = np.random.default_rng(2).random((3, 4, 4, 5)).astype(np.float32)
    maps = {}
    for pooling in ("avg", "max_flatten"):
        head = random_head(pooling, (4, 4), 5)
        maps[pooling] = [heatmaps(features, head, np.array([0, 1, 2]), method=method)
                         for method in ("gradcam", "hirescam")]
    np.testing.assert_allclose(*maps["avg"], atol=1e-6)
    assert np.abs(maps["max_flatten"][0] - maps["max_flatten"][1]).max() > 0.1


@pytest.mark.parametrize("method", GRADIENT_METHODS)
@pytest.mark.parametrize("pooling", ["avg", "max_flatten"])
def test_the_quick_way_is_the_one_by_gradients(method, pooling):
    """Grad-CAM spares the gradient of each place, and must not differ for that."""
    features = np.random.default_rng(3).random((2, 6, 6, 4)).astype(np.float32)
    head, classes = random_head(pooling, (6, 6), 4), np.array([2, 0])
    gradients = head.gradients(head.forward(features), classes, features)
    found = heatmaps(features, head, classes, method=method)
    np.testing.assert_allclose(found, from_gradients(features, gradients, method), atol=1e-5)
    assert found.max() == 1


def test_grad_cam_needs_no_gradient_at_each_place():
    """At VGG19's head that would be a second pass through a kernel of 400 MB."""
    rng = np.random.default_rng(6)
    features, means = rng.random((2, 6, 6, 4)).astype(np.float32), rng.normal(size=(2, 4)).astype(np.float32)
    layer = SimpleNamespace(features=features, mean_gradients=lambda: means)
    expected = np.maximum((features * means[:, None, None]).sum(axis=-1), 0)
    expected /= expected.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(gradient_method("gradcam").heat(layer), expected, atol=1e-5)


@pytest.mark.torch
@pytest.mark.parametrize("pooling", ["avg", "max_flatten"])
def test_grad_cam_plus_plus_is_its_papers_equation_by_third_derivatives(torch, pooling):
    """Equations 10 to 19 as they stand: of Y = exp(S), every derivative taken by PyTorch."""
    rng = np.random.default_rng(4)
    features = (0.2 * rng.random((1, 4, 4, 2))).astype(np.float32)
    head = random_head(pooling, (4, 4), 2, seed=1)
    parts = [(torch.tensor(layer.kernel.astype(np.float64)), torch.tensor(layer.bias.astype(np.float64)))
             for layer in head.layers]

    def score(maps, number):
        x = maps.permute(2, 0, 1)[None]
        x = x.mean((2, 3)) if pooling == "avg" else torch.nn.functional.max_pool2d(x, 2).permute(0, 2, 3, 1).flatten(1)
        x = torch.relu(x @ parts[0][0] + parts[0][1])
        return torch.exp((x @ parts[1][0] + parts[1][1])[0, number])

    some = False
    for number in range(4):
        maps = torch.tensor(features[0].astype(np.float64), requires_grad=True)
        first, = torch.autograd.grad(score(maps, number), maps, create_graph=True)
        second, third = torch.zeros_like(maps), torch.zeros_like(maps)
        for place in np.ndindex(4, 4, 2):
            row, = torch.autograd.grad(first[place], maps, create_graph=True)
            second[place] = row[place].detach()
            if row.requires_grad:  # or the score does not depend on this place
                third[place] = torch.autograd.grad(row[place], maps, retain_graph=True)[0][place]
        below = 2 * second + maps.sum((0, 1)) * third
        alpha = torch.where(second != 0, second / torch.where(below != 0, below, torch.ones_like(below)), 0.0)
        weights = (alpha * torch.relu(first)).sum((0, 1))
        expected = torch.relu((maps * weights).sum(-1)).detach().numpy()
        some |= bool(expected.max() > 0)
        np.testing.assert_allclose(heatmaps(features, head, np.array([number]), method="gradcam++")[0],
                                   expected / (expected.max() or 1), atol=1e-4)
    assert some, "else the two agree on nothing"
