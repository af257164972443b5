"""Which photos lie in which shard: by content alone, stable when photos come and go, and while shards are built."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from matlens.system.shards import planning
from matlens.system.shards.gathered import DigestRows, ShardedRows
from matlens.system.shards.planning import LARGEST, Digests, ShardPlan, packed, planned, unpacked


def photos(n: int, seed: int = 0) -> Digests:
    drawn = np.random.default_rng(seed).bytes(32 * n)
    return np.unique(np.frombuffer(drawn, "S32"))


def built(plan: ShardPlan, rules: str = "r") -> dict[str, Digests]:
    return {planning.shard_name(rules, digests): digests for digests in plan.new}


def check(plan: ShardPlan, wanted: Digests, there: dict[str, Digests]) -> None:
    """Every photo stands where the plan says, and no shard is too large."""
    lying = np.concatenate([*(there[name] for name in plan.used), *plan.new])
    assert (lying[plan.places] == wanted).all()
    assert all(0 < len(digests) <= planning.LARGEST for digests in plan.new)
    assert all((digests[:-1] < digests[1:]).all() for digests in plan.new)


def test_many_photos_are_divided_evenly_and_each_once():
    """57,500 photos in shards of a few would cost a file each; in one shard they could not be divided among nodes."""
    wanted = photos(57_500)
    plan = planned(wanted, {})
    check(plan, wanted, {})
    assert sum(map(len, plan.new)) == 57_500
    assert len(plan.new) == 16, "57,500 / 16 is 3,594, the least power of two that fits"
    assert max(map(len, plan.new)) <= LARGEST == 4096


@pytest.mark.parametrize("before", [20, 2_500, 57_500])
def test_ten_new_photos_are_one_shard_of_ten_and_ten_fewer_are_none(before):
    """New photos must cost themselves, however many there are already."""
    wanted, more = photos(before), photos(10, seed=1)
    there = built(planned(wanted, {}))
    together = np.unique(np.concatenate([wanted, more]))
    plan = planned(together, there)
    check(plan, together, there)
    assert [len(digests) for digests in plan.new] == [10]
    fewer = planned(wanted[10:], there)
    check(fewer, wanted[10:], there)
    assert fewer.new == ()


@pytest.mark.parametrize("seed", range(5))
def test_what_is_still_missing_are_the_same_shards_whichever_are_built_first(seed, monkeypatch):
    """Two runs, or nodes of a cluster, that plan at different times must not compute a photo twice."""
    monkeypatch.setattr(planning, "LARGEST", 16)
    rng = np.random.default_rng(seed)
    old, wanted = photos(90, seed), photos(400, seed + 100)
    wanted = np.unique(np.concatenate([old[:60], wanted]))
    there = built(planned(old, {}))
    whole = built(planned(wanted, there))
    left = dict(whole)
    while left:
        for name in rng.permutation(sorted(left))[:3]:
            there[str(name)] = left.pop(str(name))
        plan = planned(wanted, there)
        check(plan, wanted, there)
        assert built(plan).keys() == left.keys()
    assert plan.new == ()


def test_datasets_that_overlap_share_what_they_have_in_common():
    first, second = photos(5_000, 1), photos(5_000, 2)
    there = built(planned(first, {}))
    both = np.unique(np.concatenate([first[::2], second]))
    plan = planned(both, there)
    check(plan, both, there)
    assert sum(map(len, plan.new)) == len(second)


def test_zero_bytes_at_the_end_of_a_digest_count():
    """NumPy's byte strings forget them; two contents must not become one."""
    text = (hashlib.sha256(b"a").hexdigest()[:62] + "00", "00" * 32, "00" * 31 + "01", "ff" * 32)
    assert unpacked(packed(text)) == text
    wanted = np.unique(packed(text))
    assert len(wanted) == 4
    plan = planned(wanted, {})
    check(plan, wanted, {})
    rows = DigestRows(wanted, np.ones(4, np.bool_))
    assert sorted(rows) == sorted(text)
    assert [rows[digest] for digest in rows] == [0, 1, 2, 3]


def test_digests_that_share_their_beginning_are_divided_too(monkeypatch):
    """Whoever makes such photos must not end the program by its depth of recursion."""
    monkeypatch.setattr(planning, "LARGEST", 4)
    wanted = packed([f"{number:064x}" for number in range(40)])
    plan = planned(wanted, {})
    check(plan, wanted, {})
    assert sum(map(len, plan.new)) == 40


@pytest.mark.parametrize("digest", ["", "ab", "zz" * 32, "ab" * 31, "ab" * 33, "ab" * 64])
def test_what_is_no_digest_has_no_row_and_no_shard(digest):
    rows = DigestRows(photos(3), np.ones(3, np.bool_))
    assert digest not in rows
    if digest:
        with pytest.raises(ValueError, match=r"."):
            packed([digest])


def test_a_photo_without_a_row_is_not_there():
    wanted = photos(3)
    rows = DigestRows(wanted, np.array([True, False, True]))
    first, second, third = unpacked(wanted)
    assert (list(rows), len(rows), second in rows, rows[third]) == ([first, third], 2, False, 2)


@pytest.mark.parametrize("parts", [(7,), (3, 1, 3), (0, 7), (2, 0, 5)])
def test_rows_in_shards_are_read_as_those_of_one_array(parts):
    whole = np.random.default_rng(3).normal(size=(7, 2, 3)).astype(np.float32)
    order = np.array([6, 0, 3, 3, 5, 1])
    ends = np.cumsum(parts)
    rows = ShardedRows(tuple(whole[end - n:end] for n, end in zip(parts, ends, strict=True)), order)
    expected = whole[order]
    assert (rows.shape, rows.dtype, len(rows)) == ((6, 2, 3), np.float32, 6)
    np.testing.assert_array_equal(rows, expected)
    for chosen in (np.array([5, 0, 0, 2]), slice(1, 4), np.zeros(0, np.int64), np.array([1])):
        np.testing.assert_array_equal(rows[chosen], expected[chosen])
    for row in range(6):
        np.testing.assert_array_equal(rows[row], expected[row])
    np.testing.assert_array_equal(rows.take(np.array([4, 1]))[np.array([1, 0, 0])], expected[[1, 4, 4]])
