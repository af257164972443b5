"""Photos of one object that names, times or looks give away: found where they are, and not where they are not."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from matlens.data.hidden.cameras import shot_of
from matlens.data.hidden.evidence import Evidence, evidence_for, nearest_rows, standardised
from matlens.data.hidden.find import HiddenGroups, auto_groups, hidden_groups
from matlens.data.hidden.looks import describe
from matlens.data.hidden.names import Proposal, propose_from_names
from matlens.data.hidden.times import propose_from_times, taken_at
from matlens.data.prepare import prepare
from matlens.data.split.splits import Photo, Split
from matlens.data.split.together import named_groups
from matlens.errors import DataError
from matlens.settings.schema import Settings
from matlens.system.caches import silent
from matlens.system.console import Reporter
from matlens.types import Array

MATERIALS = ("cork", "wood", "wool")
OBJECTS, SHOTS = 6, 5


def _named(name: str) -> dict[tuple[str, int, int], str]:
    """Return the paths of photos of so many objects of each material, by (material, object, shot)."""
    return {(material, thing, shot): name.format(m=material, o=thing, letter="abcdefgh"[thing], s=shot,
                                                 n=10 * thing + shot)
            for material in MATERIALS for thing in range(OBJECTS) for shot in range(SHOTS)}


def _objects(paths: Mapping[tuple[str, int, int], str]) -> set[frozenset[str]]:
    return {frozenset(paths[material, thing, shot] for shot in range(SHOTS))
            for material in MATERIALS for thing in range(OBJECTS)}


def _classes(paths: Mapping[tuple[str, int, int], str]) -> dict[str, str]:
    return {path: material for (material, _, _), path in paths.items()}


def _looks(paths: Mapping[tuple[str, int, int], str], of_object: float = 1.0, of_shot: float = 0.1,
           ) -> dict[str, Array]:
    """Describe each photo by its object's place, and how far the shot is from it."""
    rng = np.random.default_rng(1)
    places = {(material, thing): of_object * rng.normal(size=8) for material in MATERIALS for thing in range(OBJECTS)}
    return {path: (places[material, thing] + of_shot * rng.normal(size=8)).astype(np.float32)
            for (material, thing, _), path in paths.items()}


def _no_times(path: str) -> None:
    return None


@pytest.mark.parametrize("name", [
    "{m}/{o}{letter}-scale_{s}_im_3.png", "{m}/{m}_sample{letter}_im{s:02}.jpg", "{m}/{letter}-{s}.jpg",
    "{m}/scene{o}/{s}.jpg", "images/{m}/board{o} ({s}).jpeg", "{m}/{s:04}_plank{letter}.jpg", "{m}/Ä{o}_v{s}_col.png",
    "{m}/IMG_{o:04}_{s}.JPG", "train/{m}/{o}.{s}.jpg"])
def test_the_pattern_of_numbered_names_groups_the_photos_of_one_object(name: str) -> None:
    paths = _named(name)
    assert len(set(paths.values())) == len(paths)
    hidden = hidden_groups(_classes(paths), lambda _: _looks(paths), _no_times)
    assert set(map(frozenset, hidden[0].proposal.groups)) == _objects(paths)
    assert hidden[0].evidence.together == 1


def test_names_of_another_build_beside_them_do_not_hide_the_groups() -> None:
    paths = _named("{m}/slab{o}_{s}.jpg")
    digests = [hashlib.sha256(str(number).encode()).hexdigest()[:8 + number % 3] for number in range(60)]
    mixed = _classes(paths) | {f"{MATERIALS[number % 3]}/{digest}.jpg": MATERIALS[number % 3]
                               for number, digest in enumerate(digests)}
    proposals = propose_from_names(mixed)
    assert [set(map(frozenset, proposal.groups)) for proposal in proposals].count(_objects(paths)) == 1


@pytest.mark.parametrize("name", ["{m}/{m}{n:03}.jpg", "{m}/IMG_{n}.jpg", "{m}/{n}.jpg"])
def test_photos_that_are_only_numbered_suggest_no_groups(name: str) -> None:
    assert propose_from_names(_classes(_named(name))) == []


def test_names_are_not_believed_where_the_photos_do_not_look_accordingly() -> None:
    paths = _named("{m}/{letter}_{s}.jpg")
    assert propose_from_names(_classes(paths)) != []
    assert hidden_groups(_classes(paths), lambda _: _looks(paths, of_object=0.0, of_shot=1.0), _no_times) == []


def test_nothing_is_described_where_nothing_is_proposed() -> None:
    def refuse(_: Sequence[str]) -> dict[str, Array]:
        raise AssertionError("photos were read in vain")

    assert hidden_groups(_classes(_named("{m}/{n}.jpg")), refuse, _no_times) == []


def test_chance_is_that_of_groups_that_mean_nothing() -> None:
    """By hand: in a class of 30 photos in groups of 5, four of the 29 others are of the same group."""
    paths = _named("{m}/{letter}_{s}.jpg")
    evidence = evidence_for([sorted(group) for group in _objects(paths)], _looks(paths), _classes(paths))
    assert evidence.chance == pytest.approx(4 / 29)
    assert evidence.together == 1
    assert evidence.most < 0.5
    assert Evidence(0.6, 0.2, 0.3).excess == pytest.approx(0.5)


def test_the_nearest_row_is_that_of_brute_force() -> None:
    vectors = standardised(np.random.default_rng(3).normal(size=(40, 5)).astype(np.float32))
    distances = ((vectors[:, None] - vectors[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    assert nearest_rows(vectors, at_once=7).tolist() == distances.argmin(axis=1).tolist()


def test_a_description_tells_colours_and_edges_apart_and_not_brightness() -> None:
    rng = np.random.default_rng(0)
    grain = np.repeat(rng.integers(60, 190, (64, 1)), 64, axis=1)[..., None].astype(np.uint8)
    across, along = np.repeat(grain, 3, axis=2), np.repeat(grain.transpose(1, 0, 2), 3, axis=2)
    red = across.copy()
    red[..., 1:] //= 2
    brighter = (across * 1.2).astype(np.uint8)
    first, *others = (describe(picture) for picture in (across, brighter, red, along))
    shape = [np.abs((first - other)[6:]).max() for other in others]
    assert first.shape == (65,)
    assert shape[0] < 0.1 < min(shape[1:])


@pytest.mark.parametrize(("text", "time"), [
    ("2024:05:17 10:31:07", datetime(2024, 5, 17, 10, 31, 7)), ("2024:02:31 10:31:07", None),
    ("0000:00:00 00:00:00", None), ("    :  :     :  :  ", None), ("yesterday", None), ("", None)])
def test_the_time_of_a_shot_is_read_or_there_is_none(text: str, time: datetime | None) -> None:
    assert taken_at(text) == time


def test_shots_of_one_camera_within_seconds_are_a_burst() -> None:
    start = datetime(2024, 5, 17, 10, 0, 0)
    seconds = {"wood/1": 0, "wood/2": 2, "wood/3": 5, "wood/4": 60, "cork/5": 61, "wood/6": 62}
    times = {path: ("camera", start + timedelta(seconds=after)) for path, after in seconds.items()}
    times["wood/7"] = ("another", start)
    classes = {path: path.split("/")[0] for path in [*times, "wood/8"]}
    proposal = propose_from_times(classes, times.get)
    assert proposal is not None
    assert proposal.groups == (("wood/1", "wood/2", "wood/3"), ("wood/4", "wood/6"))


def test_a_time_that_a_program_wrote_into_all_photos_is_no_burst() -> None:
    classes = {f"wood/{number}": "wood" for number in range(101)}
    assert propose_from_times(classes, lambda _: ("camera", datetime(2024, 1, 1))) is None


def test_bursts_are_believed_where_their_photos_look_alike() -> None:
    paths = _named("{m}/{n}.jpg")
    times = {path: ("camera", datetime(2024, 1, 1) + timedelta(minutes=10 * thing, seconds=shot))
             for (_, thing, shot), path in paths.items()}
    hidden = hidden_groups(_classes(paths), lambda _: _looks(paths, of_shot=0.5), times.get)
    assert [set(map(frozenset, one.proposal.groups)) for one in hidden] == [_objects(paths)]
    assert hidden_groups(_classes(paths), lambda _: _looks(paths, of_object=0, of_shot=1), times.get) == []


def _split(parts: Mapping[str, str]) -> Split:
    return Split("random", ("wood",), tuple(Photo(path, "wood", part, path) for path, part in parts.items()))


def test_test_photos_with_a_photo_of_their_group_in_another_part_are_named() -> None:
    hidden = HiddenGroups(Proposal("(.)-", (("a-1", "a-2", "a-3"), ("b-1", "b-2"), ("c-1", "c-2"))),
                          Evidence(1, 0.1, 0.2))
    split = _split({"a-1": "train", "a-2": "test", "a-3": "test", "b-1": "test", "b-2": "test", "c-1": "val",
                    "c-2": "test"})
    assert hidden.torn_in(split) == [("a-2", "a-1"), ("a-3", "a-1"), ("c-2", "c-1")]
    remark = hidden.remark(split)
    assert remark is not None
    assert all(fact in remark for fact in ("3 of 5", "a-2", "--groups '(.)-'"))
    whole = dataclasses.replace(split, photos=tuple(dataclasses.replace(photo, part="test") for photo in split.photos))
    assert hidden.remark(whole) is None


def test_the_option_that_is_printed_gives_the_same_groups_when_pasted() -> None:
    """Names may hold what a shell takes for its own."""
    paths = _named("{m}/s{o}_{s}'side $x.jpg")
    (hidden, *_) = hidden_groups(_classes(paths), lambda some: _looks(paths), _no_times)
    option, pattern = shlex.split(hidden.option)
    assert option == "--groups"
    assert {frozenset(group) for group in named_groups(list(paths.values()), pattern)} == _objects(paths)


def test_groups_that_nothing_shows_are_refused_with_the_way_out() -> None:
    with pytest.raises(DataError, match="--groups FILE"):
        auto_groups([], Path("photos"), silent)


def test_the_camera_and_time_of_a_photo_are_read_and_damage_is_none(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make], exif[ExifTags.Base.Model] = "Acme", "One"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2024:05:17 10:31:07"
    file = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(file, exif=exif)
    assert shot_of(file) == ("Acme One", datetime(2024, 5, 17, 10, 31, 7))
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    for number in range(300):
        damaged = bytearray(content)
        for place in rng.integers(20, 160, 4):
            damaged[place] = rng.integers(256)
        file.write_bytes(damaged[:int(rng.integers(10, len(content)))] if number % 3 == 0 else damaged)
        shot_of(file)  # raises nothing
    Image.new("RGB", (8, 8)).save(file)
    assert shot_of(file) is None
    assert shot_of(tmp_path / "missing.jpg") is None


def _prepared(root: Path, tmp_path: Path, **options: object) -> Split:
    places = {"data_dir": str(root), "cache_dir": str(tmp_path / "cache"), "img_size": 64}
    settings = Settings.load(options=places | options)
    return prepare(settings, Reporter(quiet=True)).split


@pytest.mark.real
@pytest.mark.slow
def test_samples_that_a_random_split_divides_are_told_and_auto_joins_them(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "kth-tips2a-part"
    divided = _prepared(root, tmp_path, protocol="random")
    (remark,) = [remark for remark in divided.remarks if "--groups" in remark]
    kept = _prepared(root, tmp_path, groups="auto")
    assert f"--groups '{kept.groups}'" in remark
    parts_of: dict[str, set[str]] = {}
    for photo in kept.photos:
        sample = re.search(r"[^/]*_sample.", photo.path)
        assert sample is not None
        parts_of.setdefault(sample[0], set()).add(photo.part)
    assert len(parts_of) == 44
    assert {len(parts) for parts in parts_of.values()} == {1}
    assert not any("--groups" in remark for remark in kept.remarks)
    assert _prepared(root, tmp_path, groups=kept.groups).hash == kept.hash


@pytest.mark.real
@pytest.mark.slow
def test_photos_that_are_only_numbered_are_left_in_peace(shared: Path, tmp_path: Path) -> None:
    split = _prepared(shared / "data" / "trashnet-2527", tmp_path, protocol="random")
    assert not any("--groups" in remark for remark in split.remarks)
    with pytest.raises(DataError, match="--groups auto"):
        _prepared(shared / "data" / "trashnet-2527", tmp_path, groups="auto")
