"""Where the stages of a trunk end, by the sizes of its outputs."""

from __future__ import annotations

import pytest

from matlens.models.heads.stages import Depth, ends_of_stages


def outputs(*sizes: tuple[int, int]) -> list[Depth]:
    """Outputs named 0, 1 ... of so many (places, channels)."""
    return [Depth(str(number), *size) for number, size in enumerate(sizes)]


@pytest.mark.parametrize(("sizes", "ends"), [
    # A residual network: the last output of each size, the trunk's among them.
    ([(100, 8), (64, 16), (64, 16), (16, 32), (16, 32), (4, 64), (4, 64)], "246"),
    # The last convolution widens the features for the classifier: the stage ended before.
    ([(64, 16), (16, 32), (4, 64), (4, 256), (4, 256)], "012"),
    # A padding is no end.
    ([(64, 16), (16, 32), (25, 32), (4, 64)], "013"),
    # A vision transformer: the ends of its thirds.
    ([(5, 8)] * 9, "258"), ([(5, 8)] * 10, "369"),
    # A trunk that does not divide.
    ([(4, 8)], "0"), ([(9, 8), (4, 8)], "01")])
def test_a_stage_ends_where_the_map_gets_smaller(sizes, ends):
    """Statistics of another depth would be other features than those that docs describe."""
    assert "".join(ends_of_stages(outputs(*sizes))) == ends
