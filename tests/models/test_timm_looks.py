"""A look at networks of timm: what one of them does not bear must cost no other one its answer."""

from __future__ import annotations

from functools import partial

import pytest

from matlens.errors import OutOfMemoryError

pytestmark = pytest.mark.torch

NAME = "test_resnet"


@pytest.fixture(scope="module")
def describe(torch):
    pytest.importorskip("timm")
    from matlens.models.torch.timm import describe

    return describe


@pytest.fixture(scope="module")
def networks(torch):
    """Networks that halve a map, by how."""
    from torch import nn

    class Twice(nn.Module):
        """It halves a map, doubles it and adds what it was, so that odd sides do not fit."""

        def __init__(self):
            super().__init__()
            self.conv, self.halve, self.enlarge = nn.Conv2d(3, 4, 1), nn.AvgPool2d(8), nn.Upsample(scale_factor=8)

        def forward_features(self, photos):
            maps = self.conv(photos)
            return maps + self.enlarge(self.halve(maps))

    class Unpadded(nn.Module):
        """Its last convolution wants five places, of 8 pixels each."""

        def __init__(self):
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 4, 8, stride=8), nn.Conv2d(4, 4, 5)

        def forward_features(self, photos):
            return self.last(self.conv(photos))

    with torch.device("meta"):
        return {"twice": Twice(), "unpadded": Unpadded()}


def test_what_fails_in_a_networks_own_code_is_its_refusal(describe, monkeypatch):
    """The other 400 names of a pattern are still looked at."""
    def fail(*_):
        raise AssertionError("Expected gradient function to be set")

    monkeypatch.setattr(describe, "divide", fail)
    refused = describe.card(NAME)["refused"]
    assert NAME in refused and "AssertionError" in refused and "gradient function" in refused


def test_too_little_memory_is_no_property_of_a_network(describe, monkeypatch):
    """A refusal is kept in the cache, and would stay when there is memory again."""
    def fail(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(describe, "divide", fail)
    with pytest.raises(OutOfMemoryError, match=NAME):
        describe.card(NAME)


def test_a_network_that_is_given_its_own_weights_is_counted(torch):
    """PyTorch's counter fails at a module that takes a weight with a gradient, such as CaiT's class token."""
    from matlens.models.torch.counting import operations

    class Token(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.layer = torch.nn.Parameter(torch.zeros(2, 8)), torch.nn.Linear(8, 5)

        def forward(self):
            return self.layer(self.token)

    token = Token()
    assert operations(token, token) == 2 * 2 * 8 * 5


def test_sides_that_must_be_multiples_are_found(describe, networks):
    """A run with another size would end in its first batch."""
    twice, unpadded = (partial(describe._takes, networks[kind]) for kind in ("twice", "unpadded"))
    assert [describe._takes_multiples(twice, (64, 64), raster) for raster in (1, 4, 8)] == [False, False, True]
    assert describe._takes_multiples(unpadded, (224, 224), 1)


@pytest.mark.parametrize(("kind", "smallest"), [("unpadded", 40), ("twice", 32)])
def test_the_smallest_side_is_the_first_that_gives_features(describe, networks, kind, smallest):
    """timm says 32 pixels of Inception, which takes 75."""
    raster = 8 if kind == "twice" else 1
    assert describe._smallest(partial(describe._takes, networks[kind]), 32, 224, raster) == smallest


@pytest.mark.slow
@pytest.mark.parametrize(("name", "sizes", "multiple", "smallest"), [
    ("inception_v3", [], 1, 75),  # as keras.applications says of the same network
    ("halonet50ts", [(256, 256)], 1, 256),  # blocks of 8 x 8 places of 32 pixels; one block more is 512 pixels
    ("efficientformer_l1", [(224, 224)], 1, 32),  # it takes an img_size, and has a bias for each of 7 x 7 places
    ("swin_tiny_patch4_window7_224", [], 32, 32)])
def test_the_sizes_that_a_network_takes_are_tried(describe, name, sizes, multiple, smallest):
    """What timm says of them is not enough."""
    card = describe.card(name)
    assert (card["sizes"], card["multiple_of"], card["smallest_side"]) == (sizes, multiple, smallest)
