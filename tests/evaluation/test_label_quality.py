"""What a user would lose: wrong labels found, right ones left alone, and a list that says what it is of."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from builders import predictions_of
from matlens.data.split.splits import Photo, Split
from matlens.errors import LabelsError, ResultsError, RunError
from matlens.evaluation.label_quality import LabelIssues, find_suspects, label_issues, suspect_positions
from matlens.evaluation.predictions import Predictions
from matlens.runs.run import Run
from matlens.settings.schema import Settings

NAMES = ("glass", "paper", "wood")


def found(probabilities: Any, labels: list[int]) -> list[int]:
    return suspect_positions(np.array(probabilities, np.float32), np.array(labels, np.int64))[0].tolist()


def make_run(folder: Path, predictions: dict[str, Predictions], class_names: tuple[str, ...] = NAMES) -> Run:
    """A finished run as far as labels are concerned: split, settings, predictions."""
    first = next(iter(predictions.values()))
    split = Split("random", class_names, tuple(
        Photo(path, class_names[label], "test", digest) for path, label, digest in
        zip(first.paths, first.labels, first.digests, strict=True)))
    run = Run.begin(folder, Settings(models=tuple(predictions)), folder, split)
    for name, each in predictions.items():
        each.write(run.paths.predictions_file(name))
    return run


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    powers = np.exp(logits)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def test_planted_wrong_labels_are_found_and_few_others() -> None:
    """Five per cent of labels wrong, a network with logits 4 for the truth and unit noise.

    It answers wrongly where one of 4 noises exceeds the truth's by 4: 4 Phi(-4 / sqrt 2) = 0.9 % of photos, the most
    that can be listed wrongly. Its confidence in the truth is skewed to the left, so more than half of the photos
    exceed the mean that is asked for: recall above 0.5, precision above 0.025 / (0.025 + 0.009) = 0.73.
    """
    noise = np.random.default_rng(0)
    truth = noise.integers(0, 5, 3000)
    probabilities = softmax(4 * np.eye(5)[truth] + noise.normal(size=(3000, 5)))
    planted = noise.choice(3000, 150, replace=False)
    labels = truth.copy()
    labels[planted] = (truth[planted] + noise.integers(1, 5, 150)) % 5
    listed = suspect_positions(probabilities, labels)[0]
    hits = len(np.intersect1d(listed, planted))
    assert hits / 150 > 0.5
    assert hits / len(listed) > 0.73


def test_a_suspect_is_confident_of_another_class_by_hand() -> None:
    """Averages of those labelled so: glass (0.9 + 0.7 + 0.2) / 3 = 0.6, paper (0.8 + 0.65 + 0.45) / 3 = 0.63.

    Photo 2 is labelled glass and is 0.8 paper: enough. Photo 5 is labelled paper and is 0.5 glass: not enough.
    """
    rows = [[0.9, 0.1, 0], [0.7, 0.3, 0], [0.2, 0.8, 0], [0.2, 0.8, 0], [0.35, 0.65, 0], [0.5, 0.45, 0.05]]
    predictions = predictions_of(rows, [0, 0, 0, 1, 1, 1])
    (suspect,) = find_suspects({"m": predictions}, NAMES).issues
    assert (suspect.path, suspect.given, suspect.suggested) == ("2", "glass", "paper")
    assert suspect.given_probability == pytest.approx(0.2) and suspect.suggested_probability == pytest.approx(0.8)
    assert suspect.quality == pytest.approx((0.2 - 0.8 + 1) / 2)
    assert suspect.models_that_disagree == ("m",)


@pytest.mark.parametrize("rows, labels, suspects", [
    ([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7]], [0, 0, 1, 1], []),
    ([[1, 0], [1, 0], [0, 1], [0, 1]], [0, 0, 1, 1], []),
    ([[0.1, 0.9], [0, 1], [1, 0], [0.8, 0.2]], [0, 0, 1, 1], [1, 2, 0, 3]),
    ([[1, 0], [1, 0], [1, 0], [1, 0]], [0, 0, 1, 1], []),
    ([[1 / 3, 1 / 3, 1 / 3]] * 6, [0, 1, 2] * 2, []),
    ([[0.9, 0.1], [0.1, 0.9]], [0, 1], []),
    ([[0.1, 0.9], [0.9, 0.1]], [0, 1], [0, 1]),
    ([[0.9, 0.1], [0.1, 0.9]], [1, 1], []),
    ([[0.1, 0.9]], [0], []),
    (np.empty((0, 2)), [], []),
], ids=["all right", "certain and right", "all wrong", "one class answered", "undecided", "two photos", "two exchanged",
        "one class labelled", "one photo", "no photo"])
def test_odd_predictions(rows: Any, labels: list[int], suspects: list[int]) -> None:
    """The worst first, by the margin; equals in the order of the photos."""
    assert found(rows, labels) == suspects


def test_a_class_without_a_photo_is_never_what_decides() -> None:
    """Class 2 has no photo: photo 4 is sure to be of it, and stays; photo 1 is paper by far, and is listed."""
    rows = [[0.9, 0.1, 0], [0.1, 0.9, 0], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.7, 0.2, 0.1]]
    assert found(rows, [0, 0, 1, 1, 1, 0]) == [1]


def test_several_models_are_averaged_and_counted() -> None:
    """Two of three see paper in photo 0: the mean is (0.1 + 0.2 + 0.9) / 3 = 0.4 glass and 0.6 paper."""
    rest = [[0.9, 0.1, 0], [0.9, 0.1, 0], [0.4, 0.6, 0], [0.4, 0.6, 0]]
    models = {name: predictions_of([[share, 1 - share, 0], *rest], [0, 0, 0, 1, 1])
              for name, share in {"a": 0.1, "b": 0.2, "c": 0.9}.items()}
    listed = find_suspects(models, NAMES)
    assert (listed.models, listed.n_photos) == (("a", "b", "c"), 5)
    (suspect,) = listed.issues
    assert (suspect.given_probability, suspect.suggested_probability) == (pytest.approx(0.4), pytest.approx(0.6))
    assert suspect.models_that_disagree == ("a", "b")


def test_folds_are_joined_by_path() -> None:
    """Two folds that share photo 0 of the second: five photos, and the average over classes is that of all of them."""
    first = predictions_of([[0.9, 0.1, 0], [0.1, 0.9, 0]], [0, 0], "a")
    second = predictions_of([[0.2, 0.8, 0], [0.3, 0.7, 0], [0.8, 0.2, 0]], [1, 1, 0], "b")
    again = predictions_of([[0.4, 0.6, 0]], [1], "b")
    listed = find_suspects({"one": first, "two": second, "three": again}, NAMES)
    assert listed.n_photos == 5
    assert [suspect.path for suspect in listed.issues] == ["a1"]  # 0.9 paper, where (0.7 + 0.7) / 2 is asked for
    with pytest.raises(LabelsError, match=r"b0 is glass for other and paper for another"):
        find_suspects({"two": second, "other": predictions_of([[1, 0, 0]], [0], "b")}, NAMES)


WRONG = predictions_of([[0.9, 0.1, 0], [0.1, 0.9, 0], [0.2, 0.8, 0], [0.1, 0.1, 0.8]], [0, 0, 1, 2])


def test_a_run_is_read_and_written(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"inception_v1": WRONG, "mobilenetv2_transfer": WRONG})
    listed = label_issues([run])
    assert set(listed.models) == {"inception_v1", "mobilenetv2_transfer"}
    assert label_issues([run], ["inception_v1"]).models == ("inception_v1",)
    assert LabelIssues.read(listed.write(run.paths.label_issues_file)) == listed
    content = json.loads(run.paths.label_issues_file.read_text("utf-8"))
    assert set(content) == {"format", "models", "n_photos", "issues", "accuracy", "chance"}
    assert set(content["issues"][0]) == {"path", "given", "suggested", "given_probability", "suggested_probability",
                                         "quality", "models_that_disagree"}


def test_runs_that_do_not_fit_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"inception_v1": WRONG})
    other = make_run(tmp_path / "other", {"inception_v1": WRONG}, ("glass", "metal", "wood"))
    with pytest.raises(LabelsError, match=r"other has other classes than .*run.*metal"):
        label_issues([run, other])
    fold = make_run(tmp_path / "fold", {"inception_v1": predictions_of([[1, 0, 0]], [0], "new")})
    assert label_issues([run, fold]).n_photos == 5
    assert label_issues([run, fold]).models == ("run/inception_v1", "fold/inception_v1")
    with pytest.raises(ResultsError, match=r"no predictions of vgg19_scratch.*matlens evaluate"):
        label_issues([run], ["inception_v1", "vgg19_scratch"])
    predictions_of([[np.nan] * 3], [0]).write(run.paths.predictions_file("inception_v1"))
    with pytest.raises(ResultsError, match=r"inception_v1_predictions\.npz .*diverged.*--models"):
        label_issues([run])
    run.paths.predictions_file("inception_v1").unlink()
    with pytest.raises(RunError, match=r"holds no trained model.* matlens run"):  # evaluate would say the same
        label_issues([run])


@pytest.mark.parametrize("digests", [("other",) * 4, ()], ids=["other content", "unknown content"])
def test_photos_of_one_path_are_not_joined_unless_their_content_is_the_same(tmp_path: Path, digests: tuple[str, ...],
                                                                            ) -> None:
    """Two datasets may both have a test/brick/0000.jpg: a mean over the two photos would say nothing of either."""
    run = make_run(tmp_path / "v1", {"inception_v1": WRONG})
    other = make_run(tmp_path / "v2", {"inception_v1": dataclasses.replace(WRONG, digests=("x", "y", "z", "w"))})
    with pytest.raises(LabelsError, match=r"^0 of v1/inception_v1 and of v2/inception_v1 are different photos"):
        label_issues([run, other])
    with pytest.raises(LabelsError, match=r"^0 of a and of b .*matlens evaluate"):
        find_suspects({"a": WRONG, "b": dataclasses.replace(WRONG, digests=digests)}, NAMES)
    assert label_issues([run, make_run(tmp_path / "v3", {"inception_v1": WRONG})]).n_photos == 4


def test_a_list_with_a_damaged_entry_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "run" / "reports" / "label_issues.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"format": 1, "models": [], "n_photos": 3, "issues": [{}]}')
    with pytest.raises(ResultsError, match=r"label_issues\.json .*matlens labels .*run"):
        LabelIssues.read(path)


def test_the_command_shows_the_likeliest_and_writes_all(tmp_path: Path) -> None:
    """Brackets in a name are no markup; what --limit hides is in the files."""
    from typer.testing import CliRunner

    from matlens.cli.main import app

    rows = [[0.9, 0.1, 0], [0.1, 0.9, 0], [0.2, 0.8, 0], [0.1, 0.7, 0.2], [0, 0.1, 0.9]]
    run = make_run(tmp_path / "run", {"inception_v1": predictions_of(rows, [0, 0, 0, 1, 2], "[b]")})
    done = CliRunner().invoke(app, ["labels", str(run.path), "--limit", "1", "--json", str(tmp_path / "all.json")])
    assert done.exit_code == 0, done.output
    assert "[b]1" in done.output and "90.0 %" in done.output and "[b]2" not in done.output
    assert "2 of 5 photos may be mislabelled" in done.output and "the 1 likeliest" in done.output
    assert "not a verdict" in done.output
    assert run.paths.label_issues_file.read_text("utf-8") == (tmp_path / "all.json").read_text("utf-8")
    assert len(LabelIssues.read(run.paths.label_issues_file).issues) == 2
    run.paths.label_issues_file.unlink()
    CliRunner().invoke(app, ["labels", str(run.path), "--models", "inception_v1"])
    assert not run.paths.label_issues_file.exists()


@pytest.mark.slow
def test_looking_for_wrong_labels_loads_no_framework() -> None:
    """cleanlab knows both frameworks: loaded together they end the process, and a run would wait for them."""
    code = ("import sys, numpy as np\nfrom matlens.evaluation.label_quality import suspect_positions\n"
            "found, _ = suspect_positions(np.array([[.9, .1], [.1, .9], [.1, .9]]), np.array([0, 0, 1]))\n"
            "print(found.tolist(), {'torch', 'tensorflow', 'keras'} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == ("[1] set()\n", "")


def test_summarise_lists_suspects_and_survives_damaged_predictions(tmp_path: Path) -> None:
    """After hours of training, one damaged file must not cost the comparison and the page."""
    from matlens.evaluation.metrics.scores import judge
    from matlens.evaluation.results import Results
    from matlens.jobs.run import summarise

    run = make_run(tmp_path / "run", {"inception_v1": WRONG})
    Results("inception_v1", **judge(WRONG, NAMES).fields).write(run.paths.results_file("inception_v1"))
    summarise(run)
    assert [suspect.path for suspect in LabelIssues.read(run.paths.label_issues_file).issues] == ["1"]
    assert "Labels worth a second look" in (run.path / "report.html").read_text("utf-8")
    run.paths.predictions_file("inception_v1").write_bytes(b"half")
    assert summarise(run) is not None
    page = (run.path / "report.html").read_text("utf-8")
    assert "label_issues.json" in page and "second look" not in page


@pytest.mark.slow
@pytest.mark.real
def test_labels_exchanged_among_real_photos_are_found(shared: Path) -> None:
    """Five per cent of TrashNet's labels exchanged, judged by colours alone (a linear model, right on half).

    By chance a list of 50 would hold 2.5 of them, with a standard error of 1.5: ten are five standard errors more.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import cross_val_predict

    from matlens.data.pixels.reader import PhotoReader

    files = sorted((shared / "data" / "trashnet-2527" / "images").rglob("*.jpg"))[::2]
    photos = np.stack([PhotoReader((32, 32)).read(file) for file in files]) / 255
    n = len(photos)
    blocks = photos.reshape(n, 8, 4, 8, 4, 3).mean(axis=(2, 4)).reshape(n, -1)
    quantiles = np.sort(photos.reshape(n, -1, 3), axis=1)[:, ::64].reshape(n, -1)
    truth = np.unique([file.parent.name for file in files], return_inverse=True)[1]
    rng = np.random.default_rng(0)
    planted = rng.choice(n, n // 20, replace=False)
    labels = truth.copy()
    labels[planted] = (truth[planted] + rng.integers(1, 6, len(planted))) % 6
    probabilities = cross_val_predict(LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1),
                                      np.hstack([blocks, quantiles]), labels, cv=5, method="predict_proba")
    listed = suspect_positions(probabilities, labels)[0]
    assert len(np.intersect1d(listed[:50], planted)) >= 10
    assert len(np.intersect1d(listed, planted)) > len(planted) / 2
