"""`matlens suggest`: photos that the model is unsure of and has not seen the like of, each scene once."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelling.desks import copied
from matlens.errors import DataError
from matlens.jobs.labelling.ranking import margins, rank_photos
from matlens.jobs.labelling.suggest import COLUMNS, suggest
from matlens.jobs.predict import AskedPhotos, predicting_artifact
from matlens.runs.run import Run
from serve.served import novelty_of
from small_run import patched


def at(*degrees: float) -> np.ndarray:
    """Features on a circle; the length of each says nothing."""
    angles = np.radians(degrees)
    return (np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.arange(1, len(degrees) + 1)[:, None]
            ).astype(np.float32)


def test_margins_are_those_of_the_two_likeliest():
    assert margins(np.array([[.5, .3, .2], [.2, .2, .6], [1, 0, 0]])) == pytest.approx([.2, .4, 1])
    assert margins(np.ones((2, 1))) == pytest.approx([1, 1])


def test_the_order_is_that_which_is_worked_out_by_hand():
    """Labelled at 0 degrees; distances are 1 - cos. 90 degrees and a half-sure answer: 1 x 0.5, and so on."""
    ranking = rank_photos(np.array([[.75, .25], [.5, .5], [.5, .5], [1, 0]]), at(90, 60, 0, 180), at(0), 10)
    assert ranking.positions.tolist()[:2] == [0, 1] or ranking.score[0] == pytest.approx(0.5)
    assert ranking.score[0] == pytest.approx(.5)
    assert sorted(ranking.positions.tolist()) == [0, 1, 2, 3]
    assert ranking.distance[ranking.positions.tolist().index(2)] == pytest.approx(0, abs=1e-6), "as a labelled one"
    assert ranking.score[ranking.positions.tolist().index(3)] == 0, "the model is sure"


def test_of_copies_one_is_chosen_before_the_others():
    chances = np.full((6, 2), .5)
    ranking = rank_photos(chances, at(90, 90, 90, 45, 135, 180), at(0), 4)
    assert sum(position in (0, 1, 2) for position in ranking.positions) == 1
    assert (ranking.score[1:] <= ranking.score[:-1] + 1e-9).all()


def test_without_labelled_photos_the_least_sure_comes_first():
    ranking = rank_photos(np.array([[.9, .1], [.6, .4]]), at(0, 90), None, 1)
    assert ranking.positions.tolist() == [1]
    assert ranking.distance.tolist() == [1]


@pytest.fixture
def folder(tmp_path: Path, small_run: Path) -> Path:
    """A sure photo, an unsure one, its copy and one almost like it, a strange, a labelled, and a damaged one."""
    place = tmp_path / "new"
    place.mkdir()
    for name, level in (("=sure.png", 210), ("unsure.png", 75), ("almost.png", 76)):
        Image.fromarray(patched("red", (0, 0), level)).save(place / name)
    shutil.copy(place / "unsure.png", place / "zcopy.png")
    Image.fromarray(np.full((48, 48, 3), (255, 255, 0), np.uint8)).save(place / "yellow.png")
    run = Run.open(small_run)
    shutil.copy(run.data_root / run.split.photos[0].path, place / "labelled.png")
    (place / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    (place / "notes.txt").write_text("no photo")
    return place


def test_photos_are_ranked_and_what_is_passed_over_is_counted(small_run, folder):
    run, artifact = Run.open(small_run), predicting_artifact(small_run, "mobilenetv2_transfer")
    found = suggest(run, artifact, AskedPhotos.of([folder]), 100)
    names = [Path(photo.path).name for photo in found.photos]
    assert set(names) == {"=sure.png", "unsure.png", "almost.png", "yellow.png"}
    assert names[0] == "yellow.png", "two classes at once, and unlike all others"
    assert names.index("unsure.png") < names.index("=sure.png") or names.index("almost.png") < names.index("=sure.png")
    assert (found.labelled, found.repeated, found.looked_at) == (1, 1, 4)
    assert [Path(path).name for path, _ in found.unreadable] == ["damaged.png"]
    assert len(suggest(run, artifact, AskedPhotos.of([folder]), 2).photos) == 2


def test_what_the_artifact_keeps_of_training_photos_stands_in_for_the_cache(small_run, folder):
    from matlens.serving.models import open_models

    run, model = Run.open(small_run), open_models([small_run], print)[0]
    assert suggest(run, model.artifact, AskedPhotos.of([folder]), 9).seeded == 0
    object.__setattr__(model.artifact, "novelty", novelty_of(model))
    found = suggest(run, model.artifact, AskedPhotos.of([folder]), 9)
    assert found.seeded == 90
    by_name = {Path(photo.path).name: photo for photo in found.photos}
    assert by_name["yellow.png"].unknown is True
    known = suggest(run, model.artifact, AskedPhotos.of([folder]), 9, known_only=True)
    assert {Path(photo.path).name for photo in known.photos} == by_name.keys() - {"yellow.png"} - {
        name for name, photo in by_name.items() if photo.unknown}
    assert known.strange == sum(bool(photo.unknown) for photo in found.photos)
    assert by_name["=sure.png"].distance == pytest.approx(0, abs=1e-3), "90 photos are like it"


def test_the_command_writes_a_table_that_no_spreadsheet_computes(matlens, small_run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    out = tmp_path / "out.csv"
    code, said, err = matlens("suggest", copied(small_run, tmp_path / "run"), ".", "--photos", 3, "--out", out)
    assert code == 0, err
    assert "damaged.png" in err
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert all(not row["path"].startswith("=") for row in rows)
    assert float(rows[0]["score"]) == pytest.approx((1 - float(rows[0]["margin"])) * float(rows[0]["distance"]),
                                                    abs=1e-5)
    assert "yellow.png" in said


def test_the_command_replaces_a_table_of_suggestions_and_no_other_file(matlens, small_run, folder, tmp_path):
    """`suggest RUN *.jpg --out x` with a slip of the hand must not cost a photo."""
    photo = next(folder.iterdir())
    before = photo.read_bytes()
    assert matlens("suggest", small_run, folder, "--out", photo)[0] == 2
    assert photo.read_bytes() == before
    for _ in range(2):
        assert matlens("suggest", small_run, folder, "--out", tmp_path / "s.csv")[0] == 0


def test_a_folder_without_a_photo_to_rank_is_refused_with_the_counts(small_run, tmp_path):
    run, artifact = Run.open(small_run), predicting_artifact(small_run)
    (tmp_path / "none").mkdir()
    shutil.copy(run.data_root / run.split.photos[0].path, tmp_path / "none" / "a.png")
    with pytest.raises(DataError, match="1 photos, 1 are labelled"):
        suggest(run, artifact, AskedPhotos.of([tmp_path / "none"]), 5)
