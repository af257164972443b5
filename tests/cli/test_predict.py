"""`matlens predict`: folders, damaged photos beside whole ones, and calibrated probabilities."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attacks import at_once
from matlens.errors import DataError
from matlens.features.artifact import Artifact
from matlens.features.calibrator import Calibrator
from matlens.features.novelty.detectors import NearestNeighbours
from matlens.features.novelty.stored import Novelty
from matlens.jobs import predict as predicting
from matlens.jobs.answers import NONE_OF_THESE, AnswerOptions, what_is_not_told
from matlens.jobs.predict import AskedPhotos, predict_files

BRIGHT, DARK = 200, 50


class Stub(Artifact):
    """An artifact of two classes whose probability of the first is a photo's brightness."""

    calibrator = None

    def predict(self, images, of_photos=None):
        bright = images.mean(axis=(1, 2, 3))
        return np.stack([bright, 1 - bright], axis=1).astype(np.float32)


@pytest.fixture
def artifact(tmp_path) -> Stub:
    return Stub(tmp_path, "m", ("bright", "dark"), (32, 32), 0.0)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two photos, one of them in a sub-folder, damaged ones of three kinds, and a file that is no photo."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    Image.new("RGB", (40, 40), (BRIGHT,) * 3).save(folder / "a.png")
    Image.new("RGB", (40, 40), (DARK,) * 3).save(folder / "sub" / "z.png")
    (folder / "empty.jpg").touch()
    (folder / "noise.jpg").write_bytes(b"noise" * 100)
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:60])
    (folder / "notes.txt").write_text("of the photos")
    (folder / ".hidden.png").write_bytes((folder / "a.png").read_bytes())
    return folder


def answers(artifact, *paths: Path, raw: bool = False) -> tuple[dict[str, dict], dict[str, str]]:
    """{name: answer} and {name: error}."""
    lines = [(json.loads(line), is_error) for line, is_error in predict_files(
        artifact, AskedPhotos.of(paths), as_json=True, question=AnswerOptions(raw=raw))]
    return ({Path(about["path"]).name: about for about, is_error in lines if not is_error},
            {Path(about["path"]).name: about["error"] for about, is_error in lines if is_error})


def test_a_folder_is_walked_and_damaged_photos_end_no_others(artifact, photos):
    found, errors = answers(artifact, photos)
    assert {name: about["class"] for name, about in found.items()} == {"a.png": "bright", "z.png": "dark"}
    assert set(errors) == {"empty.jpg", "noise.jpg", "cut.png"}
    assert AskedPhotos.of([photos]).others == 1


def test_links_are_followed_but_in_no_circle_and_what_cannot_be_listed_is_named(artifact, photos, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (photos / "a.png").rename(tmp_path / "elsewhere" / "b.png")
    (photos / "linked").symlink_to(tmp_path / "elsewhere")
    (photos / "sub" / "up").symlink_to(photos)
    assert set(answers(artifact, photos)[0]) == {"b.png", "z.png"}
    (tmp_path / "none").mkdir()
    found, errors = answers(artifact, tmp_path / "none", tmp_path / "gone.jpg", photos / "sub" / "z.png")
    assert (set(found), set(errors)) == ({"z.png"}, {"none", "gone.jpg"})


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read any folder")
def test_a_folder_that_may_not_be_read_is_named(artifact, photos):
    (photos / "sub").chmod(0)
    try:
        assert "sub" in answers(artifact, photos)[1]
    finally:
        (photos / "sub").chmod(0o755)


@pytest.mark.parametrize("error", [MemoryError(), OSError(116, "Stale file handle"), DataError("Too large.")])
def test_trouble_with_one_photo_ends_no_others(artifact, photos, monkeypatch, error):
    whole = predicting.PhotoReader.attempt

    def attempt(self, path):
        if path.name == "a.png":
            raise error
        return whole(self, path)

    monkeypatch.setattr(predicting.PhotoReader, "attempt", attempt)
    found, errors = answers(artifact, photos / "a.png", photos / "sub" / "z.png")
    assert (set(found), set(errors)) == ({"z.png"}, {"a.png"})


def test_probabilities_are_calibrated_unless_the_networks_own_are_asked_for(artifact, photos):
    """Dark with 1 - 50 / 255 = 205 / 255; at temperature 2 the odds 205 : 50 become their square roots."""
    artifact.__class__ = type("Calibrated", (Stub,), {"calibrator": Calibrator.at(2, 2)})
    calibrated, own = (answers(artifact, photos / "sub", raw=raw)[0]["z.png"] for raw in (False, True))
    assert own["probability"] == pytest.approx(205 / 255, abs=1e-6)
    assert calibrated["probability"] == pytest.approx(205**0.5 / (205**0.5 + 50**0.5), abs=1e-6)
    assert sum(calibrated["probabilities"].values()) == pytest.approx(1)
    assert (calibrated["calibration"], own["calibration"]) == ("temperature", None)


def test_pipes_are_named_or_counted_and_never_waited_for(artifact, photos):
    """Of a folder that is predicted, no photo goes missing in silence; one that is no photo by its name is counted."""
    for name in ("sub/pipe.png", "pipe"):
        os.mkfifo(photos / name)
    (photos / "gone.txt").symlink_to("nowhere")
    before = len(AskedPhotos.of([photos / "sub"]).photos)
    asked = AskedPhotos.of([photos])
    with at_once():
        lines = [json.loads(line) for line, _ in predict_files(artifact, asked, as_json=True)]
    assert [line["path"] for line in lines if line["path"].endswith("pipe.png")] == [str(photos / "sub" / "pipe.png")]
    assert "error" in next(line for line in lines if line["path"].endswith("pipe.png"))
    assert (before, asked.others) == (1, 3)  # notes.txt, the pipe and the link without a photo's name


def test_the_exit_code_says_that_some_photos_were_not_predicted(artifact, photos, monkeypatch, matlens):
    monkeypatch.setattr(predicting, "predicting_artifact", lambda *_, **__: artifact)
    code, out, err = matlens("predict", "run", photos, photos / "a.png")
    assert code == 2
    assert [line.split("\t")[0] for line in out.splitlines()] == [
        str(photos / "a.png"), str(photos / "sub" / "z.png"), str(photos / "a.png")]
    assert all(name in err for name in ("empty.jpg", "noise.jpg", "cut.png"))
    assert matlens("predict", "run", photos / "a.png")[0] == 0


class Knowing(Stub):
    """It was trained on bright photos alone; its two classes were told with 0.6 to 0.96 in 19 validation photos."""

    novelty = Novelty(NearestNeighbours.fit(np.repeat(np.float32([[1, 0]]), 5, 0), np.zeros(5)), np.linspace(0, 1, 19),
                      np.linspace(0.6, 0.96, 19), np.zeros(19, np.int64), np.arange(19), 2)

    def predict_with_features(self, images):
        bright = images.mean(axis=(1, 2, 3)) > 0.5
        return self.predict(images), np.stack([bright, ~bright], axis=1).astype(np.float32)


def test_a_photo_unlike_those_trained_on_is_called_so_and_sets_have_a_column(tmp_path, photos):
    """A dark photo is stranger than all 19: p is 1 of 20, and so 5 %. 0.8 and 0.2 leave one class in a set of 90 %."""
    knowing = Knowing(tmp_path, "m", ("bright", "dark"), (32, 32), 0.0)
    asked = AskedPhotos.of([photos / "a.png", photos / "sub" / "z.png"])
    plain, with_sets, strict = (
        [line.split("\t")[3:] for line, _ in predict_files(knowing, asked, with_sets=sets, question=question)]
        for sets, question in ((False, AnswerOptions()), (True, AnswerOptions()),
                               (False, AnswerOptions(false_alarms=0.04))))
    assert plain == [[], [NONE_OF_THESE]]
    assert with_sets == [["bright"], ["dark", NONE_OF_THESE]]
    assert strict == [[], []], "19 photos are too few for 4 %"
    assert "--false-alarms" in what_is_not_told(knowing, AnswerOptions(false_alarms=0.04))


def test_an_artifact_of_an_earlier_version_says_what_it_does_not_tell(artifact, photos, monkeypatch, matlens):
    monkeypatch.setattr(predicting, "predicting_artifact", lambda *_, **__: artifact)
    code, out, err = matlens("predict", "run", photos / "a.png")
    assert (code, len(out.split("\t"))) == (0, 3)
    assert "matlens evaluate" in err
    about = answers(artifact, photos / "a.png")[0]["a.png"]
    assert (about["unknown"], about["set"]) == (None, None)


@pytest.mark.parametrize("option", [("--coverage", 100), ("--false-alarms", 0), ("--coverage", "x")])
def test_impossible_rates_are_refused_by_their_names(matlens, photos, option):
    code, _, err = matlens("predict", "run", photos / "a.png", *option)
    assert code == 2
    assert option[0] in err
