"""Protocols: official lists, folds, groups, and what each stands for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from matlens.data.source.sources import Listed, Source
from matlens.data.split.protocols import default_protocol, listed_by_protocol, splits_of_series
from matlens.data.split.splits import Split, make_split
from matlens.errors import DataError, SettingsError
from matlens.settings.protocols import is_series
from matlens.settings.schema import Settings

PHOTOS = tuple(Listed(f"{name}/{i}.jpg", name) for name in "ab" for i in range(23))
SOURCE = Source(Path("x"), "folders", ("a", "b"), PHOTOS)
HASHES = {photo.path: f"{position:064x}" for position, photo in enumerate(PHOTOS)}


def test_each_photo_is_tested_in_one_fold_and_validated_in_another():
    """Cross-validation: every photo is judged once, by a model that never saw it."""
    splits = [make_split(SOURCE, protocol, HASHES, {}) for protocol in splits_of_series("kfold:5", SOURCE)]
    for part in ("test", "val"):
        assert sorted(photo.path for split in splits for photo in split.part(part)) == sorted(HASHES)
    for split in splits:
        assert sorted(photo.path for photo in split.photos) == sorted(HASHES)
        assert all(4 <= count <= 5 for name in "ab" for count in (split.counts()["test"][name],
                                                                  split.counts()["val"][name]))
    assert len({split.hash for split in splits}) == 5


def test_the_next_fold_is_validation():
    """Fold 2's test photos are fold 1's validation photos, and so on around."""
    splits = [make_split(SOURCE, f"kfold:3:{fold}", HASHES, {}) for fold in (1, 2, 3)]
    tested = [{photo.path for photo in split.part("test")} for split in splits]
    assert [{photo.path for photo in split.part("val")} for split in splits] == [tested[1], tested[2], tested[0]]


@pytest.mark.parametrize("protocol", ["kfold:2", "kfold:1", "kfold:101"])
def test_folds_that_leave_no_training_part_are_refused(protocol):
    """Two folds are test and validation, and nothing is left."""
    with pytest.raises(SettingsError, match="3 to 100 folds"):
        splits_of_series(protocol, SOURCE)


def test_what_is_a_series():
    """minc:all and kfold:5 stand for five runs, the others for one."""
    assert [is_series(protocol) for protocol in ("minc:all", "kfold:5", "kfold:5:1", "minc:1", "random", None)] == [
        True, True, False, False, False, False]
    minc = Source(Path("x"), "minc", ("a", "b"), PHOTOS, (1, 2, 5))
    assert splits_of_series("minc:all", minc) == ("minc:1", "minc:2", "minc:5")
    with pytest.raises(DataError, match="needs MINC-2500's layout"):
        splits_of_series("minc:all", SOURCE)


@pytest.mark.parametrize(("given", "says"), [
    ({"protocol": "minc:x"}, "choose minc:1"), ({"protocol": "kfold"}, "choose minc:1"),
    ({"protocol": "random", "groups": "(a)"}, "not by random"), ({"protocol": "grouped"}, "takes --groups"),
    ({"train_on": "everything"}, "train_on")])
def test_settings_that_contradict_each_other_are_refused(given, says):
    """Groups that nobody heeds would leak, and a typing error must say what there is."""
    with pytest.raises(SettingsError, match=says):
        Settings.load(options=given)


def test_groups_alone_mean_the_grouped_protocol():
    """Whoever names groups wants them kept."""
    assert default_protocol(SOURCE, "(a)") == "grouped"
    split = make_split(SOURCE, "grouped", HASHES, {}, together=[tuple(f"a/{i}.jpg" for i in range(6))], groups="(a)")
    assert len({photo.part for photo in split.photos if photo.path in split.together[0]}) == 1


def test_training_on_validation_photos_leaves_the_test_part_and_the_hash_alone(tmp_path):
    """Some papers train on both lists: the same photos are tested, so results stay comparable."""
    plain = make_split(SOURCE, "random", HASHES, {})
    both = make_split(SOURCE, "random", HASHES, {}, train_on="train+val")
    assert both.hash == plain.hash
    assert both.part("test") == plain.part("test")
    assert both.part("train") == (*plain.part("train"), *plain.part("val"))
    assert both.counts() == plain.counts()
    assert Split.read(both.write(tmp_path / "split.json")) == both


def test_a_drawn_split_ignores_the_parts_of_a_prepared_folder():
    """--protocol random divides anew."""
    prepared = Source(Path("x"), "prepared", ("a", "b"), tuple(
        Listed(f"train/{photo.path}", photo.class_name, "train") for photo in PHOTOS))
    assert Counter(photo.part for photo in listed_by_protocol(prepared, "kfold:5:1")) == {None: 46}
