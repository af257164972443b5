"""Drawn materials: the same photos everywhere, a task worth training on, and no half-drawn folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from matlens import create_split
from matlens.data.drawn import synthetic
from matlens.data.drawn.mark import MARK, remarks_of_drawing
from matlens.data.drawn.sample import laid_down
from matlens.data.drawn.synthetic import MATERIALS, draw_dataset, draw_material
from matlens.data.prepare import prepare
from matlens.errors import DataError
from matlens.settings.schema import Settings
from matlens.system.console import Reporter


def contents(root: Path) -> dict[str, bytes]:
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in root.rglob("*.jpg")}


def test_the_materials_are_at_least_ten_sorted_names():
    """Reports list classes in this order, as they do folders."""
    assert len(MATERIALS) >= 10
    assert list(MATERIALS) == sorted(set(MATERIALS))


@pytest.mark.parametrize("size", [8, 33, 96])
@pytest.mark.parametrize("name", MATERIALS)
def test_a_photo_has_the_asked_shape_and_is_not_blank(name, size):
    """A flat or wrongly shaped photo would break the demo at its first batch, or teach nothing."""
    photo = draw_material(name, size, np.random.default_rng(0))
    assert photo.shape == (size, size, 3)
    assert photo.dtype == np.uint8
    assert photo.std() > 4


def test_an_unknown_material_is_named_along_with_the_known_ones():
    """Whoever mistypes a material should not have to read the source."""
    with pytest.raises(ValueError, match=r"'bricks'.*brick, fabric.*wood"):
        draw_material("bricks", 32, np.random.default_rng(0))


def test_a_size_below_the_least_is_refused():
    """A picture of 0 px would fail deep inside OpenCV."""
    with pytest.raises(ValueError, match="at least 8 px, got 7"):
        draw_material("brick", 7, np.random.default_rng(0))


def test_drawing_leaves_the_global_generator_alone():
    """Drawing photos must not change the weights that a seeded user gets afterwards."""
    np.random.seed(3)  # noqa: NPY002 -- what a user may do
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    draw_material("wood", 32, np.random.default_rng(0))
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_the_folders_hold_the_promised_files(tmp_path):
    """The demo reads one folder a class; a missing photo would unbalance it."""
    root = draw_dataset(tmp_path / "deep" / "photos", photos_per_class=2, size=16)
    wanted = {f"{name}/{name}_{number:06d}.jpg" for name in MATERIALS for number in (1, 2)}
    assert root == tmp_path / "deep" / "photos"
    assert set(contents(root)) == wanted
    assert [path.name for path in root.parent.iterdir()] == ["photos"], "something temporary was left"
    with Image.open(root / "sky" / "sky_000002.jpg") as photo:
        assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (16, 16))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_none_of_them(tmp_path):
    """Without this, two users of the same command could not compare results."""
    first, again, other = (
        contents(draw_dataset(tmp_path / name, photos_per_class=2, size=16, seed=seed))
        for name, seed in [("first", 1), ("again", 1), ("other", 2)]
    )
    assert first == again
    assert not set(first.values()) & set(other.values())
    assert len(set(first.values())) == len(first), "two photos of one data set are the same"


def test_a_photo_depends_on_neither_the_other_materials_nor_how_many_are_drawn(tmp_path):
    """Adding a class or photos to an experiment must keep the photos it already has."""
    few = contents(draw_dataset(tmp_path / "few", photos_per_class=1, size=16, materials=["wood", "brick"]))
    many = contents(draw_dataset(tmp_path / "many", photos_per_class=3, size=16))
    assert set(few) == {"brick/brick_000001.jpg", "wood/wood_000001.jpg"}
    assert few.items() <= many.items()


@pytest.mark.parametrize("number", range(5))
def test_a_sample_lies_whole_on_its_ground_and_covers_a_third_to_two_thirds(number):
    """A heat map is worth looking at where there is something to find, and something else beside it."""
    laid = laid_down(np.full((3, 96, 96), 9, np.float32), np.random.default_rng(number))
    inside = laid.max(axis=0) > 5
    assert 1 / 3 < inside.mean() < 2 / 3
    assert inside[0].mean() < 0.5 and inside[:, 0].mean() < 0.5, "the ground is seen at each side"
    assert laid.shape == (3, 96, 96) and laid.dtype == np.float32 and laid[:, inside].mean() > 8


def test_samples_are_other_photos_of_the_same_materials(tmp_path):
    """The demo's photos, and those of `matlens data draw`, are told apart by their bytes."""
    filling, samples = (contents(draw_dataset(tmp_path / str(as_samples), photos_per_class=1, size=32,
                                              materials=["brick"], as_samples=as_samples))
                        for as_samples in (False, True))
    assert filling.keys() == samples.keys() and filling != samples


def test_whoever_reads_a_split_of_drawn_photos_learns_that_they_are_drawn(tmp_path):
    """Its figures say nothing about real photos, and the report shows what the split says."""
    root = draw_dataset(tmp_path / "photos", photos_per_class=4, size=32, materials=["brick", "sky"])
    settings = Settings.load(options={"data_dir": root, "img_size": 32, "cache_dir": tmp_path / "cache"})
    assert prepare(settings, Reporter(quiet=True)).split.remarks == remarks_of_drawing(root) != ()
    (root / MARK).unlink()
    assert prepare(settings, Reporter(quiet=True)).split.remarks == remarks_of_drawing(root) == ()


def test_a_divided_copy_of_drawn_photos_is_known_as_drawn_too(tmp_path):
    """A report on `create_split`'s folder must not pass drawn photos off as real ones."""
    photos = draw_dataset(tmp_path / "photos", photos_per_class=4, size=32, materials=["brick", "sky"])
    out = tmp_path / "out"
    assert create_split(photos, out).remarks == remarks_of_drawing(photos) != ()
    settings = Settings.load(options={"data_dir": out, "img_size": 32, "cache_dir": tmp_path / "cache"})
    assert prepare(settings, Reporter(quiet=True)).split.remarks == remarks_of_drawing(photos)
    (photos / MARK).unlink()
    create_split(photos, out, force=True)
    assert remarks_of_drawing(out) == ()


def test_progress_counts_every_photo_up_to_the_total(tmp_path):
    """A progress bar that stalls or overshoots looks like a hang."""
    seen: list[tuple[int, int]] = []
    draw_dataset(
        tmp_path / "photos",
        photos_per_class=3,
        size=8,
        materials=["sky", "sand"],
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(done, 6) for done in range(1, 7)]


def test_an_empty_folder_is_drawn_into(tmp_path):
    """`mkdir photos` before the command is no mistake."""
    assert len(contents(draw_dataset(tmp_path, photos_per_class=1, size=8, materials=["sky"]))) == 1


def test_a_folder_with_something_in_it_is_refused_and_untouched(tmp_path):
    """A mistyped path must not cost anyone their own photos."""
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(DataError, match="not an empty folder"):
        draw_dataset(tmp_path, photos_per_class=1, size=8)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("holiday.jpg", b"mine")]


def test_a_file_in_the_folders_place_is_refused_and_untouched(tmp_path):
    """The same for a file."""
    (tmp_path / "photos").write_bytes(b"mine")
    with pytest.raises(DataError, match="not an empty folder"):
        draw_dataset(tmp_path / "photos", photos_per_class=1, size=8)
    assert (tmp_path / "photos").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"photos_per_class": 0}, id="no photos"),
        pytest.param({"materials": []}, id="no materials"),
        pytest.param({"materials": ["sky", "sky"]}, id="a material twice"),
        pytest.param({"materials": ["sky", "brik"]}, id="an unknown material"),
        pytest.param({"seed": -1}, id="a negative seed"),
    ],
)
def test_arguments_out_of_range_are_refused_and_leave_nothing(tmp_path, wrong):
    """A data set without photos would only fail later, in training."""
    with pytest.raises(ValueError):
        draw_dataset(tmp_path / "photos", size=8, **wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_drawing_leaves_no_folder(tmp_path, monkeypatch, stop):
    """Half a data set would pass for a whole one on the next run."""
    drawn = 0

    def failing(*args, **named):
        nonlocal drawn
        drawn += 1
        if drawn == 5:
            raise stop
        return draw_material(*args, **named)

    monkeypatch.setattr(synthetic, "draw_material", failing)
    with pytest.raises(stop):
        draw_dataset(tmp_path / "photos", photos_per_class=3, size=8)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def photos():
    """(n, 64, 64, 3) photos, 20 of each material, and their labels."""
    labels = np.repeat(MATERIALS, 20)
    drawn = [draw_material(name, 64, np.random.default_rng([5, i])) for i, name in enumerate(labels)]
    return np.stack(drawn).astype(np.float64), labels


def accuracy(features, labels):
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=1000))
    return cross_val_score(model, features, labels, cv=5).mean()


def colour(photos):
    return np.hstack([photos.mean((1, 2)), photos.std((1, 2))])


def texture(photos):
    """Orientation histograms of the grey value's gradient at three scales, (n, 24)."""
    grey, found = photos.mean(-1), []
    for _ in range(3):
        dy, dx = np.gradient(grey, axis=(1, 2))
        strength, bins = np.hypot(dx, dy), (np.arctan2(dy, dx) % np.pi * 8 / np.pi).astype(int) % 8
        found += [np.log1p((strength * (bins == b)).mean((1, 2))) for b in range(8)]
        grey = (grey[:, ::2, ::2] + grey[:, 1::2, ::2] + grey[:, ::2, 1::2] + grey[:, 1::2, 1::2]) / 4
    return np.stack(found, axis=1)


def test_colour_says_something_but_not_enough(photos):
    """Were colour enough, the demo would not show what a network learns; chance is 1 in 12."""
    images, labels = photos
    assert 0.25 < accuracy(colour(images), labels) < 0.75


def test_texture_adds_what_colour_lacks(photos):
    """Were the classes not told apart by texture, no network could learn them in a minute."""
    images, labels = photos
    both = accuracy(np.hstack([colour(images), texture(images)]), labels)
    assert both > 0.65
    assert both > accuracy(colour(images), labels) + 0.08


def test_a_folder_may_be_named_by_a_string(tmp_path):
    """In a notebook nobody writes Path."""
    folder = draw_dataset(str(tmp_path / "photos"), photos_per_class=1, size=32, materials=("sky", "wood"))
    assert folder == tmp_path / "photos"
    assert len(list(folder.rglob("*.jpg"))) == 2
