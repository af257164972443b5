"""The head in NumPy by hand: what Grad-CAM and every prediction after the trunk stand on."""

from __future__ import annotations

import numpy as np

from matlens.models.head import Dense, Head, softmax


def dense(kernel, bias, activation) -> Dense:
    return Dense(np.array(kernel, np.float32), np.array(bias, np.float32), activation)


def slopes(head: Head, features: np.ndarray, classes: list[int]) -> np.ndarray:
    """What each channel adds to the class score when all its places rise together, (B, K)."""
    return head.channel_gradients(head.forward(features), np.array(classes), features.shape[-1])


def test_average_pooling_and_one_layer_by_hand():
    """Means 2 and 10; logits 2 + 20 + 1 = 23 and -2 + 5 = 3; a channel that rises as a whole lifts its mean as much."""
    features = np.array([[[[1, 10], [2, 10]], [[2, 10], [3, 10]]]], np.float32)
    head = Head("avg", (dense([[1, -1], [2, 0.5]], [1, 0], "softmax"),))
    np.testing.assert_allclose(head.logits(features), [[23, 3]])
    np.testing.assert_allclose(head.probabilities(features), [[1 / (1 + np.exp(-20)), np.exp(-20)]], rtol=1e-5)
    np.testing.assert_allclose(slopes(head, features, [1]), [[-1, 0.5]])


def test_maximum_pooling_drops_an_odd_edge_and_counts_ties_once():
    """3 x 5 places: two windows of the first two rows; the last row and column count for nothing, two sevens as one."""
    features = np.zeros((1, 3, 5, 1), np.float32)
    features[0, :, :, 0] = [[1, 4, 7, 7, 99], [2, 3, 5, 6, 99], [99, 99, 99, 99, 99]]
    head = Head("max_flatten", (dense([[10], [100]], [0.5], "softmax"),))
    np.testing.assert_allclose(head.logits(features), [[10 * 4 + 100 * 7 + 0.5]])
    np.testing.assert_allclose(slopes(head, features, [0]), [[110]])


def test_flattened_places_are_in_the_frameworks_order():
    """Row by row, channels last: another order would shuffle VGG19's 4096 inputs."""
    features = np.arange(2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)
    head = Head("max_flatten", (dense(np.eye(12), np.zeros(12), "softmax"),))
    # The largest of each window is at its lower right: places (1, 1), (1, 3), (3, 1), (3, 3).
    np.testing.assert_array_equal(head.logits(features), features[:, 1::2, 1::2].reshape(2, 12))


def test_a_closed_relu_lets_no_gradient_through():
    """Hidden values 2 and -1: the second is cut off, and so is its share of the gradient."""
    head = Head("avg", (dense([[2, -1]], [0, 0], "relu"), dense([[3], [50]], [0], "softmax")))
    features = np.ones((1, 1, 1, 1), np.float32)
    np.testing.assert_allclose(head.logits(features), [[6]])
    np.testing.assert_allclose(slopes(head, features, [0]), [[6]])


def test_a_softmax_on_the_way_by_hand():
    """Two equal values: p = (1/2, 1/2), and d p0 / d x0 = p0 (1 - p0) = 1/4."""
    head = Head("avg", (dense(np.eye(2), [0, 0], "softmax"), dense([[1], [0]], [0], "softmax")))
    features = np.full((1, 1, 1, 2), 3, np.float32)
    np.testing.assert_allclose(head.logits(features), [[0.5]])
    np.testing.assert_allclose(slopes(head, features, [0]), [[0.25, -0.25]])


def test_each_photo_is_explained_for_its_own_class():
    """A batch with different classes must not mix them up."""
    head = Head("avg", (dense([[1, 2, 3]], [0, 0, 0], "softmax"),))
    assert slopes(head, np.ones((3, 1, 1, 1), np.float32), [2, 0, 1]).tolist() == [[3], [1], [2]]


def test_softmax_of_large_scores_is_finite():
    """exp(1000) would be infinite, and the probability not a number."""
    np.testing.assert_allclose(softmax(np.array([[1000, 1000], [-1000, 0]], np.float32)), [[0.5, 0.5], [0, 1]])


def test_a_head_comes_back_from_its_file(tmp_path):
    """It lies in the artifact, without pickles."""
    head = Head("max_flatten", (dense([[1, 2]], [3, 4], "relu"), dense([[5], [6]], [7], "softmax")))
    head.save(tmp_path / "head.npz")
    found = Head.load(tmp_path / "head.npz")
    assert (found.pooling, [layer.activation for layer in found.layers]) == ("max_flatten", ["relu", "softmax"])
    for ours, theirs in zip(found.layers, head.layers, strict=True):
        np.testing.assert_array_equal(ours.kernel, theirs.kernel)
        np.testing.assert_array_equal(ours.bias, theirs.bias)


def test_a_class_token_is_pooled_and_tells_of_no_place(tmp_path):
    """Its channels are the same at every place: their gradient would add the same to a whole heat map."""
    features = np.array([[[[1, 5], [3, 5]]]], np.float32)
    layers = (dense([[2, 0], [10, 1]], [1, 0], "softmax"),)
    both = Head("token+avg", layers)
    np.testing.assert_allclose(both.logits(features), [[2 * 2 + 10 * 5 + 1, 5]])
    np.testing.assert_allclose(slopes(both, features, [0]), [[2, 0]])
    gradients = both.gradients(both.forward(features), np.array([0]), features)
    np.testing.assert_allclose(gradients, [[[[1, 0], [1, 0]]]])
    np.testing.assert_allclose(slopes(Head("token", layers), features, [0]), [[0, 0]])
    both.save(tmp_path / "head.npz")
    assert Head.load(tmp_path / "head.npz").pooling == "token+avg"
