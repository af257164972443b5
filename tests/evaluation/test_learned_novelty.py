"""What an evaluation learns of photos that its model does not know, and what it refuses to promise."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from builders import predictions_of, results_of
from matlens.data.split.splits import Photo
from matlens.errors import DataError, ResultsError
from matlens.evaluation.novelty import learn
from matlens.evaluation.novelty.choice import area_under_roc, choose_detector
from matlens.evaluation.novelty.learn import LookedAt, in_words, learned_from
from matlens.evaluation.results import Results
from matlens.features.artifact import Artifact
from matlens.report.sections.novelty_view import view_novelty

CLASSES = ("a", "b", "c")


@pytest.fixture
def artifact(tmp_path) -> Artifact:
    return Artifact(tmp_path, "m", CLASSES, (32, 32), 0.0, head_digest="0" * 64)


def _part(n: int, seed: int, groups=None) -> LookedAt:
    """n photos of each class around an axis of its own; each photo stands alone unless groups are given."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), n)
    features = (3 * np.eye(6)[labels] + rng.normal(0, 0.4, (3 * n, 6))).astype(np.float32)
    alone = np.arange(3 * n) + 1000 * seed
    return LookedAt((), np.arange(3 * n), labels, alone if groups is None else groups, features)


def _answers(part: LookedAt, seed: int = 0):
    rng = np.random.default_rng(seed)
    raised = np.exp(rng.normal(size=(len(part.labels), 3)) + 2 * np.eye(3)[part.labels])
    return predictions_of(raised / raised.sum(axis=1, keepdims=True), part.labels)


def test_what_is_learned_keeps_to_the_rates_that_are_stated(artifact):
    train, val, test = _part(40, 1), _part(60, 2), _part(60, 3)
    learned = learned_from(train, val, test, _answers(test, 1), _answers(val), artifact)
    figures = learned.figures
    assert figures["false_alarms"]["share"] == pytest.approx(0.05, abs=0.05)
    assert figures["coverage"]["overall"]["share"] == pytest.approx(0.9, abs=0.06)
    assert 1 <= figures["coverage"]["overall"]["mean_size"] <= 3
    areas = {each["detector"]: each["area"] for each in figures["candidates"]}
    assert set(areas) == {"knn", "mahalanobis"}
    assert min(areas.values()) > 0.9
    strangers = np.full((5, 6), -1, np.float32)
    assert learned.novelty.are_unknown(learned.novelty.p_values(strangers)).all()


def test_results_take_it_along_and_the_page_shows_it(artifact, tmp_path):
    val = _part(60, 2)
    figures = learned_from(_part(40, 1), val, val, _answers(val), _answers(val), artifact).figures
    results = Results.read(results_of(novelty=figures).write(tmp_path / "m_results.json"))
    assert results.novelty == figures
    view = view_novelty(results)
    assert [row.stated.split("\u00a0")[0] for row in view.rows] == ["5.0", "90.0", "90.0"]
    assert view_novelty(results_of()) is None, "results of earlier versions"
    with pytest.raises(ResultsError):
        Results.read(results_of(novelty={**figures, "false_alarms": None}).write(tmp_path / "damaged.json"))


def test_validation_photos_of_groups_that_were_trained_on_are_left_out(artifact):
    """They lie nearer to the training photos than new ones, which would then be called unknown too often."""
    train, val = _part(40, 1), _part(60, 2)
    groups = val.groups.copy()
    groups[:60] = train.groups[:60]
    learned = learned_from(train, _part(60, 2, groups), val, _answers(val), _answers(val), artifact)
    assert (learned.figures["left_out"], learned.figures["n_validation"]) == (60, 120)


@pytest.mark.parametrize("groups", [np.arange(180) // 10 + 9000, np.repeat(1000 + np.arange(6), 30)])
def test_of_too_few_independent_photos_nothing_is_promised(artifact, groups):
    """18 groups, where 19 are needed for 5 %; and groups that were all trained on."""
    val = _part(60, 2, groups)
    learned = learned_from(_part(40, 1), val, val, _answers(val), _answers(val), artifact)
    assert learned.novelty is None
    assert "19" in in_words(learned.figures)


def _learned_again(monkeypatch, artifact, novelty, photos_are_there: bool) -> learn.Learned:
    """Of an artifact that knows `novelty` and whose features are not in the cache."""
    parts = {name: replace(_part(n, seed), photos=tuple(Photo(f"{name}/{i}.png", "a", name, "") for i in range(3 * n)))
             for name, n, seed in (("train", 40, 1), ("val", 60, 2), ("test", 60, 3))}
    object.__setattr__(artifact, "novelty", novelty)

    def looked_at(_, __, part):
        if not photos_are_there:
            raise DataError("gone")
        return parts[part]

    monkeypatch.setattr(learn, "looked_at", looked_at)
    monkeypatch.setattr(learn, "trained_artifact", lambda *_: artifact)
    monkeypatch.setattr(learn, "_are_cached", lambda _: False)
    earlier = {"head": artifact.head_digest, "detector": "earlier"}
    return learn.learn_novelty(SimpleNamespace(run=None, name="m"), _answers(parts["test"]), _answers(parts["val"]), "",
                               earlier)


def test_what_was_learned_without_names_of_training_photos_gets_them_or_stays(monkeypatch, artifact):
    """Of artifacts of earlier versions; photos that are gone cost nothing of what is known."""
    val = _part(60, 2)
    nameless = replace(learned_from(_part(40, 1), val, val, _answers(val), _answers(val), artifact).novelty,
                       training=None)
    gone = _learned_again(monkeypatch, artifact, nameless, photos_are_there=False)
    assert (gone.novelty, gone.figures["detector"]) == (nameless, "earlier")
    named = _learned_again(monkeypatch, artifact, nameless, photos_are_there=True)
    assert named.novelty.training.paths == tuple(f"train/{i}.png" for i in range(120))
    assert named.figures["detector"] != "earlier"
    again = _learned_again(monkeypatch, artifact, named.novelty, photos_are_there=True)
    assert again.novelty is named.novelty, "nothing is computed again"


def test_the_detector_is_chosen_by_classes_that_it_never_saw():
    train, val = _part(40, 1), _part(20, 2)
    choice = choose_detector(train.features, train.labels, val.features, val.labels)
    assert choice.areas[choice.detector.name] == max(choice.areas.values())
    assert choose_detector(train.features[:2], train.labels[:2], val.features, val.labels).detector is None
    one = choose_detector(train.features[:40], train.labels[:40], val.features[:20], val.labels[:20])
    assert (one.detector.name, one.areas) == ("knn", {}), "a single class leaves nothing to leave out"


def test_the_area_is_that_of_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    strange, usual = rng.integers(0, 6, 30).astype(float), rng.integers(0, 5, 50).astype(float)
    truth = np.concatenate([np.ones(30), np.zeros(50)])
    assert area_under_roc(strange, usual) == pytest.approx(roc_auc_score(truth, np.concatenate([strange, usual])))
