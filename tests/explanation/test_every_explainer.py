"""What every registered explanation method must give, and declarations that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matlens.errors import ResultsError, SettingsError
from matlens.explanation.artifact_model import ArtifactModel, Layer
from matlens.explanation.explainer import ForwardMethod, GradientMethod, Question
from matlens.explanation.registry import EXPLAINERS, question_for, register, title_of
from matlens.features.artifact import Artifact
from matlens.runs.run import Run
from small_run import CLASSES, NAMES, patched


@pytest.fixture(scope="module")
def model(small_run) -> ArtifactModel:
    return ArtifactModel(Artifact.open(Run.open(small_run).paths.artifact(NAMES[0])))


of_classes = pytest.mark.parametrize("name", [method.name for method in EXPLAINERS.entries() if method.uses_class])


@of_classes
class TestEveryMethodOfClasses:
    """Over the registry: what can be said of any model. What tokens attend to is tried on those that have some."""

    def test_points_at_the_patch_by_each_of_its_scores(self, name, model):
        """A patch of a colour decides; the network knows nothing but colours."""
        corners = {"red": (0, 0), "green": (1, 0), "blue": (1, 1)}
        photos = np.stack([patched(colour, corner) for colour, corner in corners.items()])
        for score in EXPLAINERS[name].scores:
            maps, answers = EXPLAINERS[name].maps(model, photos, Question(score=score))
            assert [CLASSES[number] for number in answers.argmax(axis=1)] == list(corners)
            assert (maps.dtype, maps.ndim, len(maps)) == (np.float32, 3, 3)
            assert maps.min() >= 0
            assert maps.max(axis=(1, 2)).tolist() == [1, 1, 1]
            for heat, (down, right) in zip(maps, corners.values(), strict=True):
                row, column = np.unravel_index(heat.argmax(), heat.shape)
                assert (row >= heat.shape[0] / 2, column >= heat.shape[1] / 2) == (down, right)

    def test_at_another_layer_takes_the_frameworks_gradients(self, name, model, small_run, monkeypatch):
        """A child process writes them, some photos a file; here a stand-in does: pixels, and slopes of the red ones."""
        if not EXPLAINERS[name].uses_layer:
            return
        photos = np.stack([patched("red", (0, 1)), patched("red", (1, 0)), patched("red", (1, 1))])

        def differentiate(kind, task, log_file, on_event):
            assert (kind, task.model, task.layer) == ("gradients", NAMES[0], "early")
            with np.load(task.photos) as file:
                np.testing.assert_array_equal(file["photos"], photos)
                assert [CLASSES[number] for number in file["classes"]] == ["red"] * 3
            for start, end in ((0, 2), (2, 3)):
                features = photos[start:end].astype(np.float32)
                path = Path(task.photos).with_name(f"{start}.npz")
                np.savez(path, features=features, gradients=np.broadcast_to(np.array([1, 0, 0], np.float32),
                                                                            features.shape))
                on_event({"file": str(path)})

        monkeypatch.setattr("matlens.explanation.artifact_model.run_job", differentiate)
        early = ArtifactModel(model.artifact, Layer(Run.open(small_run), NAMES[0], "early"))
        maps, answers = EXPLAINERS[name].maps(early, photos, Question())
        red = photos[..., 0].astype(np.float32)
        np.testing.assert_allclose(maps, red / red.max(axis=(1, 2), keepdims=True), atol=1e-5)
        np.testing.assert_allclose(answers, model.predict(photos / np.float32(255)), atol=1e-6)

    def test_gives_the_same_for_bytes_and_floats_alone_and_among_others(self, name, model):
        """Chance follows from the photo's content."""
        photos = np.stack([patched("red", (0, 1)), patched("blue", (1, 0)), patched("red", (0, 1))])
        maps, _ = EXPLAINERS[name].maps(model, photos, Question(score=EXPLAINERS[name].scores[0]))
        np.testing.assert_array_equal(maps[0], maps[2])
        for given in (photos[1:2], photos[1:2] / np.float32(255)):
            alone, _ = EXPLAINERS[name].maps(model, given, Question(score=EXPLAINERS[name].scores[0]))
            np.testing.assert_allclose(alone[0], maps[1], atol=1e-6)

    def test_answers_a_question_for_its_own_score_and_refuses_others(self, name):
        """And says who can."""
        method = EXPLAINERS[name]
        assert question_for(method, 2) == Question(2, method.scores[0])
        for score in {"logit", "probability"} - set(method.scores):
            with pytest.raises(SettingsError) as raised:
                question_for(method, score=score)
            able = [other.name for other in EXPLAINERS.entries() if other.uses_class and score in other.scores]
            assert all(part in str(raised.value) for part in (method.title, score, *able))


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_method_says_what_it_is(name):
    """Titles of pictures and the table of the documents are made of it."""
    method = EXPLAINERS[name]
    assert method.title == title_of(name)
    assert method.source[-4:].isdigit()


class Red:
    """A model that only predicts, and has no layer: the mean red is the probability of class 0 of two."""

    head = None

    def predict(self, images: np.ndarray, of_photos: np.ndarray | None = None) -> np.ndarray:
        red = images[..., 0].mean(axis=(1, 2))
        return np.stack([red, 1 - red], axis=1)


class Rows(ForwardMethod):
    """Evidence is what the answer loses without a row."""

    name, title = "rows", "Rows"

    def evidence(self, predict, photo, rng):
        without = np.repeat(photo[None], len(photo), axis=0)
        without[np.arange(len(photo)), np.arange(len(photo))] = 0
        return (predict(photo[None]) - predict(without))[:, None]


class Chance(ForwardMethod):
    """Evidence is nothing but chance."""

    name, title = "chance", "Chance"

    def evidence(self, predict, photo, rng):
        return rng.random((3, 3), dtype=np.float32)


def test_a_forward_only_method_needs_nothing_but_answers():
    """By hand: of 40 rows, more than go into a batch, one is red and one a fifth as red; nothing speaks for class 1."""
    photo = np.zeros((1, 40, 4, 3), np.uint8)
    photo[0, 10, :, 0], photo[0, 20, :, 0] = 255, 51
    (heat,), answers = Rows().maps(Red(), photo, Question(0, "probability"))
    assert answers[0] == pytest.approx([1.2 / 40, 1 - 1.2 / 40])
    np.testing.assert_allclose(heat[:, 0], [1 if row == 10 else 0.2 if row == 20 else 0 for row in range(40)],
                               atol=1e-5)
    assert Rows().maps(Red(), photo, Question(1, "probability"))[0].max() == 0


@pytest.mark.parametrize("evidence", [
    lambda *_: np.ones((3, 3, 3)), lambda *_: None, lambda *_: 1 / 0, lambda *_: np.full((3, 3), np.nan),
    lambda self, predict, photo, rng: np.ones((1 + int(photo.max()), 2))],
    ids=["three axes", "nothing", "failure", "not finite", "two sizes"])
def test_evidence_that_is_no_map_is_told_with_the_methods_name(evidence):
    """The fault is the plug-in's, and no defect of matlens."""
    wrong = type("Wrong", (ForwardMethod,), {"name": "wrong", "title": "Wrong", "evidence": evidence})()
    photos = np.stack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)])
    with pytest.raises(ResultsError, match="wrong"):
        wrong.maps(Red(), photos, Question(0, "probability"))


def test_chance_follows_from_the_photos_content_and_the_method():
    """All models then meet the same masks, and a map can be made again."""
    photos = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    maps, _ = Chance().maps(Red(), photos, Question())
    again, _ = Chance().maps(Red(), photos[::-1] / np.float32(255), Question())
    np.testing.assert_array_equal(maps, again[::-1])
    assert (maps[0] != maps[1]).any()


def test_a_forward_only_method_explains_the_probability_and_no_layer():
    """Unless it says otherwise; a refusal names methods that can."""
    assert question_for(Rows()).score == "probability"
    for asked in ({"layer": "block5_conv4"}, {"score": "logit"}):
        with pytest.raises(SettingsError) as raised:
            question_for(Rows(), **asked)
        assert all(part in str(raised.value) for part in ("Rows", *asked.values(), "gradcam"))


def declaration(base: type, **attributes: object) -> type:
    return type("Declared", (base,), attributes)


@pytest.mark.parametrize(("declared", "named"), [
    (declaration(GradientMethod, title="A"), "Declared"),
    (declaration(GradientMethod, name="a/b", title="A", evidence=np.multiply), "a/b"),
    (declaration(GradientMethod, name="random", title="A", evidence=np.multiply), "random"),
    (declaration(GradientMethod, name="nobody", evidence=np.multiply), "nobody"),
    (declaration(GradientMethod, name="neither", title="A"), "neither"),
    (declaration(ForwardMethod, name="neither", title="A"), "neither"),
    (declaration(ForwardMethod, name="mute", title="A", scores=(), evidence=np.multiply), "mute"),
    (declaration(GradientMethod, name="gradcam", title="A", evidence=np.multiply), "gradcam")],
    ids=["no name", "a name that is no file's", "a baseline's name", "no title", "no gradients", "no answers",
         "no score", "a name that is taken"])
def test_an_incomplete_or_doubled_declaration_is_named(declared, named):
    """When its file is imported, not when it is used."""
    before = list(EXPLAINERS)
    with pytest.raises(ValueError, match=named):
        register(declared)
    assert list(EXPLAINERS) == before


def test_an_unknown_method_is_refused_with_the_known_ones():
    """Which a title must survive: a file may name a plug-in's that is not there any more."""
    with pytest.raises(SettingsError) as raised:
        EXPLAINERS["scorecam"]
    assert all(name in str(raised.value) for name in ("scorecam", *EXPLAINERS))
    assert title_of("scorecam") == "scorecam"
