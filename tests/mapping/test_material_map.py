"""Maps of photos whose materials are known at each pixel."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mapping.colour_model import CLASSES, COLOURS, SIDE, colour_artifact, flat, halves
from matlens.data.pixels.reader import PhotoReader
from matlens.errors import SettingsError
from matlens.features.novelty.detectors import NearestNeighbours
from matlens.features.novelty.stored import Novelty
from matlens.mapping.material_map import UNKNOWN, MapOptions, material_map
from matlens.mapping.mosaics import mosaic_of
from matlens.mapping.quality import boundary_f, quality_of
from matlens.mapping.sizes import MOST_PIXELS, MOST_SCALED, map_size, scaled_sizes, scales_of
from matlens.models.heads.knn import KnnHead, unit_rows


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """By whether the trunk takes one size alone."""
    folder = tmp_path_factory.mktemp("colours")
    return {rigid: colour_artifact(folder / f"rigid{rigid}.artifact", rigid=rigid) for rigid in (False, True)}


@pytest.mark.parametrize("rigid", [False, True])
def test_two_halves_are_told_apart(colours, rigid):
    photo = halves("red", "blue")
    made = material_map(colours[rigid], photo)
    truth = np.where(photo[..., 0] > 128, CLASSES.index("red"), CLASSES.index("blue"))
    assert made.whole is not rigid
    assert quality_of(made.numbers, truth).pixel_accuracy > 0.98
    assert quality_of(made.numbers, truth).boundary_f > 0.9
    assert set(made.shares) == {0, 2} and made.shares[0] == pytest.approx(0.5, abs=0.02)
    assert made.confidence.min() > 0.5
    assert made.unknown is None and made.about()["unknown_share"] is None


@pytest.mark.parametrize("rigid", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 400), (1, 60_000), (30, 20), (47, 49)])
def test_a_photo_of_any_size_has_a_map_of_its_size(colours, rigid, size):
    made = material_map(colours[rigid], flat("green", *size))
    assert made.numbers.shape == size
    assert made.shares == {CLASSES.index("green"): 1.0}


def test_a_huge_photo_is_made_smaller_and_says_so(colours):
    made = material_map(colours[False], halves("red", "green", 1500, 1600))
    height, width = made.numbers.shape
    assert height * width <= 1.01 * MOST_PIXELS and height / width == pytest.approx(15 / 16, abs=0.01)
    assert made.about()["photo_size"] == [1500, 1600] and made.about()["size"] == [height, width]


def test_drawn_materials_are_found_far_better_than_by_chance(drawn, tmp_path):
    """A head of nearest photos over mean colours, and mosaics of photos that it has not seen."""
    names = ("brick", "foliage", "sky", "wood")
    reader = PhotoReader((SIDE, SIDE))
    photos = {name: [reader.read(path) for path in sorted((drawn / name).glob("*.*"))] for name in names}
    known = np.stack([photo for name in names for photo in photos[name][:8]]).astype(np.float32) / 255
    features = known.mean(axis=(1, 2))
    head = KnnHead("avg", unit_rows(features)[0], np.repeat(np.arange(4), 8).astype(np.int64), 3,
                   np.zeros(4, np.float32))
    artifact = colour_artifact(tmp_path / "drawn.artifact", head=head, class_names=names)
    rng, accuracies = np.random.default_rng(0), []
    for number in range(4):
        order = rng.permutation(4)[:3]
        mosaic = mosaic_of([photos[names[kind]][8 + number] for kind in order], order.tolist(), 120, rng)
        made = material_map(artifact, mosaic.photo)
        accuracies.append(quality_of(made.numbers, mosaic.truth).pixel_accuracy)
    assert np.mean(accuracies) > 0.6, "chance is 0.25"


@pytest.mark.parametrize("rigid", [False, True])
def test_what_looks_like_no_class_is_unknown(colours, rigid):
    """Yellow is of no class; 60 photos of the three colours say how strange photos of these are."""
    rng = np.random.default_rng(0)
    known = np.stack([np.clip(flat(name, SIDE, SIDE) + rng.normal(0, 12, 3), 0, 255) for name in CLASSES
                      for _ in range(20)]).astype(np.float32) / 255
    labels = np.repeat(np.arange(3), 20)
    own, features = colours[rigid].predict_with_features(known)
    detector = NearestNeighbours.fit(features, labels)
    artifact = dataclasses.replace(colours[rigid])
    vars(artifact)["novelty"] = Novelty(detector, detector.strangeness(features), own[np.arange(60), labels].astype(
        np.float64), labels, np.arange(60), 3)
    photo = halves("red", "blue", 96, 288)
    photo[:, 144:] = 250, 240, 10
    made = material_map(artifact, photo)
    numbers = made.numbers
    assert (numbers[:, :96] == CLASSES.index("red")).mean() > 0.95
    assert (numbers[:, 200:] == UNKNOWN).mean() > 0.95
    assert list(made.shares)[-1] == UNKNOWN
    assert made.about()["unknown_share"] == pytest.approx(0.5, abs=0.15)


def test_log_probabilities_are_calibrated(colours):
    artifact = dataclasses.replace(colours[False])
    from matlens.features.calibrator import Calibrator

    photo = flat("red", 96, 96)
    plain = material_map(artifact, photo).confidence.mean()
    vars(artifact)["calibrator"] = Calibrator.at(20.0, 3)
    softened = material_map(artifact, photo).confidence.mean()
    lead = 30 * (COLOURS["red"][0] - np.array(COLOURS["red"][1:])) / 255 / 20
    assert plain > 0.99
    assert softened == pytest.approx(1 / (1 + np.exp(-lead).sum()), abs=0.01)


@pytest.mark.parametrize("given", ["", "a", "1,,2", "0", "-1", "nan", "inf", "1e9", "1,2,3,4,5,6,7,8,9"])
def test_impossible_scales_are_refused(given):
    with pytest.raises(SettingsError, match=r"1,0\.5"):
        scales_of(given)


@pytest.mark.parametrize("window", [0, -1, float("nan"), 11])
def test_an_impossible_window_is_refused(window):
    with pytest.raises(SettingsError, match="--window"):
        MapOptions(window=window)


def test_sizes_are_whole_steps_within_bounds():
    assert scales_of("1,0.5,1") == (1.0, 0.5)
    assert [scaled.size for scaled in scaled_sizes((512, 768), (1, 0.5), (224, 224), 32)] == [(512, 768), (256, 384)]
    assert [scaled.size for scaled in scaled_sizes((100, 100), (0.1, 0.2), (224, 224), 32)] == [(128, 128)], "once"
    for size in ((1, 128_000_000), (4000, 3000), (65535, 1900)):
        height, width = map_size(*size)
        assert height * width <= 1.01 * MOST_PIXELS
        for scaled in scaled_sizes((height, width), (8.0,), (224, 224), 32):
            assert scaled.size[0] * scaled.size[1] <= 2.1 * MOST_SCALED


def test_quality_is_that_of_a_map_by_hand():
    truth = np.zeros((100, 100), np.int64)
    truth[:, 80:] = 1
    wrong = np.zeros_like(truth)
    assert quality_of(wrong, truth).pixel_accuracy == 0.8
    assert quality_of(wrong, truth).class_accuracy == 0.5
    assert quality_of(wrong, truth).boundary_f == 0
    assert boundary_f(truth, truth) == boundary_f(wrong, wrong) == 1
    moved = np.roll(truth, 1, axis=1) * (np.arange(100) > 50)
    assert boundary_f(moved, truth) == 1, "a pixel off is within the tolerance"
    assert boundary_f(np.roll(truth, 40, axis=1), truth) == 0
    assert boundary_f(truth + (np.arange(100) < 40), truth) == pytest.approx(2 / 3), "two lines, one is true"
