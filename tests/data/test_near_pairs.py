"""Pairs of near hashes are those that a comparison of all finds; crowds are linked, in little memory and few steps."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from matlens.data.split import hamming
from matlens.data.split.clusters import Clusters
from matlens.data.split.hamming import CROWD, Hashes, HashView, near_pairs
from matlens.data.split.signatures import ORIENTATIONS, SHAPES, SIDE, coefficients, hashes_of, oriented
from scale import rounds

Pairs = set[tuple[int, int]]


def flipped(hashes: Hashes, times: int, rng: np.random.Generator) -> Hashes:
    for _ in range(times):
        hashes = hashes ^ (np.uint64(1) << rng.integers(0, 64, len(hashes)).astype(np.uint64))
    return hashes


def any_hashes(n: int, rng: np.random.Generator) -> Hashes:
    return rng.integers(0, 2 ** 64, n, dtype=np.uint64)


HASHES: dict[str, Callable[[int, np.random.Generator], Hashes]] = {
    "random": any_hashes,
    "all zero": lambda n, rng: np.zeros(n, np.uint64),
    "many equal": lambda n, rng: any_hashes(n // 20, rng)[rng.integers(0, n // 20, n)],
    "clusters": lambda n, rng: flipped(any_hashes(n // 20, rng)[rng.integers(0, n // 20, n)], 2, rng),
    "clusters that touch": lambda n, rng: flipped(any_hashes(2, rng)[rng.integers(0, 2, n)], 5, rng),
    "a chain": lambda n, rng: rng.permutation(np.array([(1 << i % 64) - 1 + (i // 64 << 60) for i in range(n)], object)
                                              % 2 ** 64).astype(np.uint64),
    "one band in common": lambda n, rng: any_hashes(n, rng) & np.uint64(0xFFFF_FFFF_FFFF_0000),
    "three bands in common": lambda n, rng: any_hashes(n, rng) & np.uint64(0xFFFF),
    "few values in each band": lambda n, rng: flipped(np.where(rng.random((n, 4)) < 0.5, 0, 0xFFFF).astype(np.uint64)
                                                      @ np.array([1, 1 << 16, 1 << 32, 1 << 48], np.uint64), 1, rng),
}


def compared(hashes: Hashes, views: list[HashView], distance: int) -> tuple[Pairs, np.ndarray]:
    """All pairs, by comparing each with each, and how many others are near each thing."""
    found: Pairs = set()
    near = np.zeros(len(hashes), int)
    for view in (HashView(hashes, symmetric=True), *views):
        is_near = np.bitwise_count(hashes[:, None] ^ view.hashes) <= distance
        np.fill_diagonal(is_near, False)
        near += is_near.sum(1) if view.symmetric else is_near.sum(0) + is_near.sum(1)
        found |= {(min(pair), max(pair)) for pair in np.argwhere(is_near).tolist()}
    return found, near


def joined(pairs: Pairs) -> list[tuple[int, ...]]:
    clusters: Clusters[int] = Clusters()
    for first, second in pairs:
        clusters.join(first, second)
    return clusters.groups()


def views_of(hashes: Hashes) -> list[HashView]:
    """The complement and the reversed bits, which are their own inverses, and a rotation, which is not."""
    reverse = np.packbits(np.unpackbits(hashes.view(np.uint8)).reshape(-1, 64)[:, ::-1]).view(np.uint64)
    rotated = hashes << np.uint64(1) | hashes >> np.uint64(63)
    return [HashView(~hashes, True), HashView(reverse, True), HashView(rotated, False)]


@pytest.mark.parametrize("large", [8, 4096])
@pytest.mark.parametrize("name", HASHES)
def test_the_pairs_are_those_of_comparing_all(name, large, monkeypatch):
    """All of them where nothing counts as a crowd, whichever way many hashes with one band are compared."""
    monkeypatch.setattr(hamming, "_LARGE", large)
    monkeypatch.setattr(hamming, "_AT_ONCE", 500)
    for seed in range(rounds(2, 40)):
        rng = np.random.default_rng(seed)
        hashes, distance = HASHES[name](200, rng), int(rng.integers(1, 6))
        views = views_of(hashes)[:seed % 4]
        found = near_pairs(hashes, distance, views, crowd=10_000)
        assert {tuple(pair) for pair in found.tolist()} == compared(hashes, views, distance)[0]
        assert (np.diff(found[:, 0] * 200 + found[:, 1]) > 0).all()


@pytest.mark.parametrize("large", [8, 4096])
@pytest.mark.parametrize("name", HASHES)
def test_a_crowd_is_linked_to_the_groups_of_all_pairs_and_what_is_no_crowd_is_listed(name, large, monkeypatch):
    monkeypatch.setattr(hamming, "_LARGE", large)
    for seed in range(rounds(2, 40)):
        rng = np.random.default_rng(seed)
        n, crowd = 200, int(rng.integers(0, 12))
        hashes = HASHES[name](n, rng)
        views = views_of(hashes)[:seed % 4]
        everything, near = compared(hashes, views, 3)
        found = {tuple(pair) for pair in near_pairs(hashes, 3, views, crowd).tolist()}
        assert found <= everything
        assert {pair for pair in everything if (near[list(pair)] <= crowd).all()} <= found
        assert joined(found) == joined(everything)
        assert len(found) <= n * crowd // 2 + n


def test_none_and_one():
    assert near_pairs(np.zeros(0, np.uint64), 3).shape == near_pairs(np.zeros(1, np.uint64), 3).shape == (0, 2)


@pytest.mark.parametrize("flips", [0, 1, 3, 8])
def test_hashes_that_are_all_near_each_other_take_little_memory(flips):
    """All pairs of 20,000 would be 200 million and take gigabytes."""
    n = rounds(20_000, 100_000)
    rng = np.random.default_rng(flips)
    hashes = flipped(np.full(n, 0x0123_4567_89AB_CDEF, np.uint64), flips, rng)
    tracemalloc.start()
    found = near_pairs(hashes, 3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found) <= n * (CROWD // 2 + 1)
    assert flips > 1 or len(joined({tuple(pair) for pair in found.tolist()})) == 1
    assert peak < 300e6


def test_few_hashes_are_compared(monkeypatch):
    """A hundredth of all pairs, and fewer the more there are."""
    comparisons: list[int] = []
    take = hamming._Bands._take
    monkeypatch.setattr(hamming._Bands, "_take",
                        lambda bands, first, second: (comparisons.append(len(first)), take(bands, first, second))[1])
    for n in (20_000, 40_000):
        comparisons.clear()
        near_pairs(any_hashes(n, np.random.default_rng(1)), 3)
        assert sum(comparisons) < n * n / 2 / 1_000


def test_the_hashes_are_those_of_the_turned_pictures_and_the_views_stand_for_all_orientations():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (24, SIDE, SIDE), dtype=np.uint8)
    turned = [np.stack([oriented(picture[..., None], orientation)[..., 0] for picture in pictures])
              for orientation in range(ORIENTATIONS)]
    hashes, views = hashes_of(coefficients(pictures, SHAPES))
    of_turned = [hashes_of(coefficients(pictures, SHAPES))[0] for pictures in turned]
    assert {view.hashes.tobytes() for view in views} < {other.tobytes() for other in of_turned}
    everything = np.concatenate([pictures[:8], *(other[8 + i:9 + i] for i, other in enumerate(turned))])
    everything[8:] = [turned[i][i] for i in range(8)]
    hashes, views = hashes_of(coefficients(everything, SHAPES))
    assert near_pairs(hashes, 3, views).tolist() == [[i, 8 + i] for i in range(8)]
