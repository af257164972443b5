"""Averages of weights in NumPy, of a network whose weights are known."""

from __future__ import annotations

import numpy as np
import pytest

from matlens.models.averaging import HostAverage


class Weights:
    """A network of two arrays and a counter."""

    def __init__(self) -> None:
        self.values = [np.array([1, 2], np.float32), np.array(3.0, np.float32), np.array(5, np.int64)]

    def snapshot(self):
        return [values.copy() for values in self.values]

    def restore(self, snapshot):
        self.values = [values.copy() for values in snapshot]


def numbers(weights) -> list[object]:
    return [values.tolist() for values in weights]


def test_an_average_begins_as_the_weights_are_and_moves_by_its_share():
    """By hand: 0.75 x 1 + 0.25 x 9 = 3, and so on; whole numbers are counters, of which there is no average."""
    network = Weights()
    average = HostAverage(network)
    network.restore([np.array([9, 2], np.float32), np.array(-5.0, np.float32), np.array(8, np.int64)])
    assert numbers(average.weights()) == [[1, 2], 3, 5]
    average.update(0.75)
    assert numbers(average.weights()) == [[3, 2], 1, 8]
    average.update(0)
    assert numbers(average.weights()) == numbers(network.snapshot())
    assert [values.dtype for values in average.weights()] == [values.dtype for values in network.values]


def test_a_network_has_the_average_inside_and_its_own_weights_again_afterwards():
    """A failed validation must not leave the average in what is trained on."""
    network = Weights()
    average = HostAverage(network)
    network.restore([values * 2 for values in network.values])
    with pytest.raises(KeyError), average.swapped():
        assert numbers(network.values) == [[1, 2], 3, 5]
        raise KeyError
    assert numbers(network.values) == [[2, 4], 6, 10]


def test_what_is_set_or_given_is_a_copy():
    """The best weights are held for later, while the average moves on."""
    network = Weights()
    average, given = HostAverage(network), Weights().values
    average.set([values * 4 for values in given])
    held = average.weights()
    average.update(0.5)
    assert numbers(held) == [[4, 8], 12, 20]
    assert numbers(average.weights()) == [[2.5, 5], 7.5, 5]
    assert numbers(network.values) == [[1, 2], 3, 5]
