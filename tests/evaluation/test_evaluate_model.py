"""evaluate_model: every figure is of the photo that it stands beside, and is scikit-learn's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from matlens import compare_models, create_split, evaluate_model, get_predictions_and_labels
from matlens.data.batches import PhotoBatches, part_batches
from matlens.data.prepare import prepare
from matlens.errors import DataError, LabelsError, ModelError, ResultsError, SettingsError
from matlens.evaluation.predictions import Predictions, same_photos
from matlens.notebook import label_space
from matlens.settings.schema import Settings
from matlens.system.console import Reporter

CLASSES = 3
SIDE = 2


class Telling:
    """A model whose photos carry their answers: the first pixels are the probabilities."""

    def __init__(self) -> None:
        self.seen = 0

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.seen += len(images)
        return images[:, 0, :, 0]


def photos_of(probabilities: np.ndarray) -> np.ndarray:
    images = np.zeros((len(probabilities), SIDE, CLASSES, 3), np.float32)
    images[:, 0, :, 0] = probabilities
    return images


@pytest.fixture(scope="module")
def answers() -> tuple[np.ndarray, np.ndarray]:
    """probabilities (50, 3), labels (50,): some right, some wrong."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, CLASSES, 50)
    probabilities = rng.dirichlet(np.ones(CLASSES), 50) + 0.4 * np.eye(CLASSES)[labels]
    return (probabilities / probabilities.sum(1, keepdims=True)).astype(np.float32), labels


class Shuffled:
    """Batches of 8 in a new order each time they are gone through."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self._images, self._labels, self.passes = images, np.eye(CLASSES, dtype=np.float32)[labels], 0

    def __iter__(self):
        order = np.random.default_rng(self.passes).permutation(len(self._images))
        self.passes += 1
        for start in range(0, len(order), 8):
            chosen = order[start:start + 8]
            yield self._images[chosen], self._labels[chosen]


@pytest.fixture
def dataset(answers) -> Shuffled:
    return Shuffled(photos_of(answers[0]), answers[1])


@pytest.fixture(autouse=True)
def nothing_prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Class names of another test's split would be taken for the defaults."""
    monkeypatch.setattr(label_space, "_latest", tmp_path / "nothing")


def test_predictions_and_labels_are_of_the_same_photos(dataset, answers):
    """Two passes over a shuffled dataset, as the guide warns, give the labels of other photos."""
    model = Telling()
    predictions, labels = get_predictions_and_labels(model, dataset)
    assert (dataset.passes, model.seen) == (1, 50)
    assert (predictions.dtype, labels.dtype) == (np.float32, np.int64)
    order = np.random.default_rng(0).permutation(50)
    np.testing.assert_array_equal(predictions, answers[0][order])
    np.testing.assert_array_equal(labels, answers[1][order])


def test_figures_are_scikit_learns(dataset, answers, tmp_path):
    """Another library computes each of them from the same numbers."""
    probabilities, labels = answers
    guessed = probabilities.argmax(1)
    found = evaluate_model(Telling(), dataset, "told", ["a", "b", "c"], tmp_path)
    precision, recall, f1, support = metrics.precision_recall_fscore_support(labels, guessed)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, guessed))
    assert [found[f"macro_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(
        [precision.mean(), recall.mean(), f1.mean()])
    for number, name in enumerate("abc"):
        assert found["per_class"][name] == pytest.approx(
            {"precision": precision[number], "recall": recall[number], "f1": f1[number], "support": support[number]})
        assert found["roc_auc"]["per_class"][name] == pytest.approx(
            metrics.roc_auc_score(labels == number, probabilities[:, number]))
    assert found["roc_auc"]["macro"] == pytest.approx(metrics.roc_auc_score(
        np.eye(CLASSES)[labels], probabilities, average="macro"))
    assert found["roc_auc"]["micro"] == pytest.approx(metrics.roc_auc_score(
        np.eye(CLASSES)[labels], probabilities, average="micro"))
    assert found["confusion_matrix"] == metrics.confusion_matrix(labels, guessed).tolist()
    assert found["classification_report"] == metrics.classification_report(
        labels, guessed, target_names=["a", "b", "c"], digits=4, zero_division=0)
    assert (found["model_name"], found["n_test"], list(found["class_names"])) == ("told", 50, ["a", "b", "c"])


def test_what_is_returned_is_what_is_saved(dataset, answers, tmp_path):
    """Who opens the files a year later must find the same figures, and be able to compute them again."""
    found = evaluate_model(Telling(), dataset, "told", ["a", "b", "c"], tmp_path / "reports")
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == ["told_predictions.npz",
                                                                             "told_results.json"]
    saved = json.loads((tmp_path / "reports" / "told_results.json").read_text())
    assert saved == json.loads(json.dumps(found))
    kept = Predictions.read(tmp_path / "reports" / "told_predictions.npz")
    order = np.random.default_rng(0).permutation(50)
    np.testing.assert_array_equal(kept.probabilities, answers[0][order])
    np.testing.assert_array_equal(kept.labels, answers[1][order])
    assert metrics.accuracy_score(kept.labels, kept.predicted) == pytest.approx(saved["accuracy"])


def test_class_names_default_to_the_datasets_then_to_numbers(dataset, tmp_path):
    """The guide gives them to every call; who leaves them out still wants a readable report."""
    assert list(evaluate_model(Telling(), dataset, "m", save_dir=tmp_path)["class_names"]) == ["0", "1", "2"]
    dataset.class_names = ["brick", "sky", "wood"]
    found = evaluate_model(Telling(), dataset, "m", save_dir=tmp_path)
    assert list(found["class_names"]) == list(found["per_class"]) == ["brick", "sky", "wood"]


def test_a_class_that_the_data_lack_counts_as_nothing_and_has_no_curve(tmp_path):
    """A test part without a class must neither crash nor give NaN, which is no JSON."""
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]], np.float32)
    labels = np.eye(CLASSES, dtype=np.float32)[[0, 1, 1]]
    found = evaluate_model(Telling(), [(photos_of(probabilities), labels)], "m", ["a", "b", "c"], tmp_path)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["per_class"]["c"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0}
    assert found["macro_recall"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert found["roc_auc"]["per_class"]["c"] is None


def ours(drawn: Path, folder: Path, shuffle: bool) -> PhotoBatches:
    create_split(drawn, folder / "prepared")
    settings = Settings(data_dir=folder / "prepared", img_size=32, cache_dir=folder / "cache")
    ready = prepare(settings, Reporter(quiet=True))
    return part_batches(ready.split, "test", ready.store, 3, seed=9, shuffle=shuffle)


class Fixed:
    """The mean brightness decides."""

    def predict(self, images: np.ndarray) -> np.ndarray:
        share = images.mean((1, 2))
        return np.concatenate([share, 1 - share[:, :1]], 1) / (share.sum(1) + 1 - share[:, 0])[:, None]


@pytest.mark.parametrize("shuffle", [False, True])
def test_our_own_datasets_bring_their_split_along(drawn, tmp_path, shuffle):
    """compare_models refuses to rank models that were judged on other photos; it knows them by the split."""
    batches = ours(drawn, tmp_path, shuffle)
    found = evaluate_model(Fixed(), batches, "m", save_dir=tmp_path)
    assert list(found["class_names"]) == ["brick", "foliage", "sky", "wood"]
    assert (found["split_hash"], found["protocol"]) == (batches.split.hash, "prepared")
    assert (found["n_test"], tuple(found["img_size"]), found["seed"]) == (8, (32, 32), 9)
    kept = Predictions.read(tmp_path / "m_predictions.npz")
    names = batches.split.class_names
    if shuffle:
        assert sorted(kept.labels) == [0, 0, 1, 1, 2, 2, 3, 3]
    else:
        assert [path.split("/")[1] for path in kept.paths] == [names[number] for number in kept.labels]


def test_validation_photos_give_a_temperature_and_without_them_the_way_is_said(dataset, tmp_path):
    """The test batches stand for validation photos: some answers are right and some wrong, so that there is one."""
    with_them = evaluate_model(Telling(), dataset, "m", ["a", "b", "c"], tmp_path, val_ds=dataset)["calibration"]
    without = evaluate_model(Telling(), dataset, "m", ["a", "b", "c"], tmp_path)["calibration"]
    assert with_them["temperature"] > 0 and with_them["n_validation"] == sum(each["n"] for each in with_them["bins"])
    assert (without["temperature"], without["n_validation"]) == (None, 0) and "val_ds" in without["remark"]


def test_what_it_returns_goes_into_the_comparison(dataset, answers, tmp_path):
    """The guide's last step takes these dictionaries."""
    good = evaluate_model(Telling(), dataset, "good", ["a", "b", "c"], tmp_path)
    perfect = np.eye(CLASSES, dtype=np.float32)[answers[1]]
    best = evaluate_model(Telling(), Shuffled(photos_of(perfect), answers[1]), "best", ["a", "b", "c"], tmp_path)
    table = compare_models([good, best], tmp_path)
    assert [(row.model, row.accuracy) for row in table.rows] == [("best", 1.0), ("good", good["accuracy"])]
    assert table.rows[1].value("macro_auc") == good["roc_auc"]["macro"]
    assert {path.name for path in tmp_path.iterdir()} >= {"model_comparison.csv", "model_comparison.md"}


class Answering:
    def __init__(self, answer: np.ndarray) -> None:
        self._answer = answer

    def predict(self, images: np.ndarray) -> np.ndarray:
        return self._answer


ONE = [(np.zeros((2, 4, 4, 3), np.float32), np.eye(CLASSES, dtype=np.float32)[:2])]


@pytest.mark.parametrize("answer", [
    np.zeros((2, CLASSES + 1)), np.zeros((2, CLASSES - 1)), np.zeros(2), np.zeros((1, CLASSES)),
    np.zeros((2, 4, 4, CLASSES))], ids=lambda answer: str(answer.shape))
def test_a_model_of_other_classes_is_refused_and_nothing_written(answer, tmp_path):
    """argmax works on any of these, and the figures would be nonsense."""
    with pytest.raises(ModelError, match=r"must be \(photos, classes\)") as caught:
        evaluate_model(Answering(answer), ONE, "m", save_dir=tmp_path / "reports")
    assert str(answer.shape) in str(caught.value)
    assert not (tmp_path / "reports").exists()


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c", "d"]])
def test_class_names_of_another_number_are_refused(names, tmp_path):
    """Scores would stand beside the wrong names."""
    with pytest.raises(ModelError, match=f"{len(names)} class names for a model of 3 classes"):
        evaluate_model(Answering(np.eye(CLASSES)[:2]), ONE, "m", names, tmp_path)


@pytest.mark.parametrize(("data", "named"), [
    ([], "no batch"), (iter(()), "no batch"), ([np.zeros((2, 4, 4, 3))], r"\(images, labels\)"),
    ([(np.zeros((2, 4, 4, 3)), np.array([0, 1]))], "one-hot")])
def test_what_is_no_dataset_is_refused(data, named, tmp_path):
    """Integer labels, as image_dataset_from_directory gives by default, must not be taken for scores."""
    with pytest.raises(DataError, match=named):
        evaluate_model(Telling(), data, "m", save_dir=tmp_path)


@pytest.mark.parametrize("name", ["", "models/vgg", "../vgg"])
def test_a_name_that_is_no_file_name_is_refused(name, tmp_path):
    """It would be written elsewhere."""
    with pytest.raises(SettingsError, match="file name"):
        evaluate_model(Telling(), ONE, name, save_dir=tmp_path)


@pytest.mark.parametrize("model", [(Telling(), Telling()), "vgg19_scratch", None])
def test_what_is_no_model_is_named(model, tmp_path):
    """The transfer builders return two models, which is easily forgotten."""
    with pytest.raises(ModelError, match=r"tuple|neither a Keras model"):
        evaluate_model(model, ONE, "m", save_dir=tmp_path)


@pytest.mark.parametrize("labels", [[[0], [1], [1], [0]], [[1, 0], [0, 1], [0, 1], [1, 0]]], ids=["(B, 1)", "(B, 2)"])
def test_one_sigmoid_output_tells_two_classes_apart(labels, tmp_path):
    """argmax of one column answered the first class to everything. Right: 3 of 4, and all pairs in order."""
    answers = np.array([[0.2], [0.9], [0.4], [0.3]])
    data = [(np.zeros((4, 4, 4, 3), np.float32), np.array(labels, np.float32))]
    found = evaluate_model(Answering(answers), data, "m", ["no", "yes"], tmp_path)
    assert found["accuracy"] == 3 / 4 and found["confusion_matrix"] == [[2, 0], [1, 1]]
    assert found["roc_auc"]["per_class"] == {"no": 1.0, "yes": 1.0}
    predictions, numbers = get_predictions_and_labels(Answering(answers), data)
    assert predictions.shape == (4, 2) and numbers.tolist() == [0, 1, 1, 0]


TWO = np.zeros((2, 4, 4, 3), np.float32)


@pytest.mark.parametrize(("answer", "labels", "error", "fact"), [
    ([[2.5], [-1]], [[0], [1]], ModelError, "sigmoid"), ([[.1], [.9]], [[0], [2]], LabelsError, "[1]"),
    (np.eye(3)[:2], [[0], [3]], LabelsError, "[1]"), (np.eye(3)[:2], [[1, 1, 0], [0, 0, 1]], LabelsError, "[0]"),
    (np.eye(3)[:2], [[0], [np.nan]], LabelsError, "nan"), (np.eye(3)[:2], [[0.5], [1]], LabelsError, "0.5")])
def test_labels_and_answers_that_are_none_are_refused(answer, labels, error, fact, tmp_path):
    with pytest.raises(error) as refused:
        evaluate_model(Answering(np.array(answer)), [(TWO, np.array(labels))], "m", save_dir=tmp_path / "r")
    assert fact in str(refused.value) and not (tmp_path / "r").exists()


class Named(Answering):
    class_names = ("brick", "glass")


class Data(list):
    """Batches with the names of their classes."""

    def __init__(self, names: list[str] | None) -> None:
        super().__init__([(TWO, np.eye(2, dtype=np.float32))])
        self.class_names = names


@pytest.mark.parametrize(("given", "of_data", "fact"), [
    (["apple", "pear"], None, "apple"), (None, ["apple", "pear"], "apple"), (None, ["glass", "brick"], "another order"),
    (["brick", "glass"], ["brick", "glass", "wood"], "3")])
def test_names_of_other_classes_than_the_models_are_refused(given, of_data, fact, tmp_path):
    """Two datasets in one notebook: CLASS_NAMES are those of the second, and the model is of the first."""
    with pytest.raises(LabelsError) as refused:
        evaluate_model(Named(np.eye(2)), Data(of_data), "m", given, tmp_path)
    assert fact in str(refused.value)


def test_names_are_the_models_own_and_never_those_of_the_folder_used_last(drawn, tmp_path, monkeypatch):
    create_split(drawn, tmp_path / "prepared")
    assert label_space.__getattr__("NUM_CLASSES") == 4
    data = [(np.zeros((4, 4, 4, 3), np.float32), np.eye(4, dtype=np.float32))]
    nameless = evaluate_model(Answering(np.eye(4)), data, "m", save_dir=tmp_path)
    assert list(nameless["class_names"]) == ["0", "1", "2", "3"]
    named = evaluate_model(Named(np.eye(2)), Data(None), "m", save_dir=tmp_path)
    assert list(named["class_names"]) == ["brick", "glass"]


class Ranged:
    """Answers anything, and takes the range that it says."""

    def __init__(self, input_range: tuple[int, int] | None = None) -> None:
        self.input_range = input_range

    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.full((len(images), 2), 0.5)


NOISE = np.random.default_rng(0).random((4, 4, 4, 3), dtype=np.float32)


@pytest.mark.parametrize("photos", [
    NOISE, NOISE * 0.02, np.zeros_like(NOISE), np.ones_like(NOISE), NOISE * 1.2 - 0.1, NOISE * 2 - 1,
    (NOISE - 0.485) / 0.229, NOISE.astype(np.float64), NOISE > 0.5],
    ids=["usual", "dark", "black", "white", "interpolated", "[-1, 1]", "standardised", "float64", "black and white"])
def test_photos_in_the_unit_range_are_taken(photos, tmp_path):
    evaluate_model(Ranged(), [(photos, np.eye(2)[[0, 1, 0, 1]])], "m", save_dir=tmp_path)


BYTES = (NOISE * 255).astype(np.uint8)


@pytest.mark.parametrize(("photos", "fact"), [
    (NOISE * 255, "[0, 1]"), (BYTES, "uint8"), (BYTES // 200, "uint8"), (NOISE * 255 // 1, "/ 255"),
    (np.where(NOISE > 0.9, np.nan, NOISE), "Photo 0"), (np.where(np.arange(4)[:, None, None, None] == 2, np.inf, NOISE),
                                                        "Photo 2"), (NOISE[:3], "3 images with 4 labels")])
def test_photos_of_another_range_are_refused_with_the_way_out(photos, fact, tmp_path):
    """A network answers to them all the same, mostly with one class."""
    with pytest.raises(DataError) as refused:
        evaluate_model(Ranged(), [(photos, np.eye(2)[[0, 1, 0, 1]])], "m", save_dir=tmp_path)
    assert fact in str(refused.value) and "test_ds" in str(refused.value)


def test_a_model_that_says_so_takes_bytes_and_refuses_the_unit_range(tmp_path):
    labels = np.eye(2)[[0, 1, 0, 1]]
    for photos in (BYTES, NOISE * 255, np.zeros_like(NOISE), BYTES // 200, BYTES / 1.0):
        evaluate_model(Ranged((0, 255)), [(photos, labels)], "m", save_dir=tmp_path)
    with pytest.raises(DataError, match=r"\[0, 255\].*\* 255"):
        evaluate_model(Ranged((0, 255)), [(NOISE, labels)], "m", save_dir=tmp_path)
    evaluate_model(Ranged((0, 255)), [(NOISE, labels), (NOISE * 255, labels)], "m", save_dir=tmp_path)  # a dark batch


def test_the_same_photos_are_known_by_content_in_any_order(dataset, answers, tmp_path):
    """Each pass of `dataset` gives another order; by their place the second model's rows would be of other photos."""
    first = evaluate_model(Telling(), dataset, "first", ["a", "b", "c"], tmp_path)
    second = evaluate_model(Telling(), dataset, "second", ["a", "b", "c"], tmp_path)
    backwards = Shuffled(photos_of(answers[0][::-1]), answers[1])
    other = evaluate_model(Telling(), backwards, "other", ["a", "b", "c"], tmp_path)
    assert first["photos_hash"] == second["photos_hash"] != other["photos_hash"]
    kept = [Predictions.read(tmp_path / f"{name}_predictions.npz") for name in ("first", "second", "other")]
    rows = same_photos(kept[0], kept[1])
    np.testing.assert_array_equal(kept[0].probabilities, kept[1].probabilities[rows])
    assert same_photos(kept[0], kept[2]) is None
    compared = compare_models([first, second], tmp_path)
    assert compared.same_photos and compared.pairs.tests[0].both_right == round(50 * first["accuracy"])
    assert not compare_models([first, other], tmp_path).same_photos


def test_val_and_test_part_of_one_split_are_not_the_same_photos(drawn, tmp_path):
    batches = ours(drawn, tmp_path, False)
    val = part_batches(batches.split, "val", batches.store, 3)
    judged = [evaluate_model(Fixed(), data, name, save_dir=tmp_path)
              for name, data in (("test", batches), ("val", val))]
    assert judged[0]["split_hash"] == judged[1]["split_hash"] and judged[0]["n_test"] == judged[1]["n_test"]
    assert not compare_models(judged, tmp_path).same_photos
    shuffled = ours(drawn, tmp_path, True)
    again = evaluate_model(Fixed(), shuffled, "again", save_dir=tmp_path)
    assert again["photos_hash"] == judged[0]["photos_hash"]
    kept = [Predictions.read(tmp_path / f"{name}_predictions.npz") for name in ("test", "again")]
    np.testing.assert_array_equal(kept[0].probabilities, kept[1].probabilities[same_photos(*kept)])


PHOTOS, ONE_HOT = np.zeros((2, 4, 4, 3), np.float32), np.eye(2)


@pytest.mark.parametrize("data", [
    None, 3, 2.5, object(), lambda: [(PHOTOS, ONE_HOT)], "photos", [3], [(PHOTOS,)], {"images": PHOTOS},
    [(PHOTOS, [["wood"], ["sky"]])], [(PHOTOS, ["wood", "sky"])], [(PHOTOS, [[1, 0], [1]])], [(PHOTOS, None)],
    [([PHOTOS[0], PHOTOS[1][:2]], ONE_HOT)], [(PHOTOS[0], ONE_HOT)], [(["a.jpg", "b.jpg"], ONE_HOT)],
    [(np.array([PHOTOS[0], None], object), ONE_HOT)], [(None, ONE_HOT)], [(PHOTOS, [[{}], [{}]])],
    [(PHOTOS, np.array([["wood"], ["sky"]]))]], ids=str)
def test_what_gives_no_photos_with_labels_is_refused_by_name(data, tmp_path):
    with pytest.raises(DataError) as refused:
        evaluate_model(Answering(ONE_HOT), data, "m", save_dir=tmp_path / "r")
    assert "test_ds" in str(refused.value) or "class_names" in str(refused.value)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(("options", "error", "fact"), [
    ({"model_name": 3}, SettingsError, "model_name=3"), ({"model_name": None}, SettingsError, "model_name"),
    ({"model_name": "a\0b"}, SettingsError, "model_name"), ({"model_name": "\ud800"}, SettingsError, "model_name"),
    ({"model_name": Path("m")}, SettingsError, "model_name"), ({"save_dir": 3}, SettingsError, "save_dir=3"),
    ({"save_dir": "a\0b"}, SettingsError, "save_dir"), ({"history": {"loss": [1.0]}}, SettingsError, "history"),
    ({"class_names": 3}, LabelsError, "class_names=3"), ({"class_names": {"a": 0, 1: "b"}}, LabelsError, "class_names"),
    ({"class_names": {"a", "b"}}, LabelsError, "class_names"), ({"class_names": "ab"}, LabelsError, "class_names"),
    ({"class_names": [None, "b"]}, LabelsError, "class_names"), ({"val_ds": 5}, DataError, "val_ds")])
def test_arguments_that_are_none_are_refused_by_name(options, error, fact, tmp_path):
    with pytest.raises(error) as refused:
        evaluate_model(Answering(ONE_HOT), **{"test_ds": [(PHOTOS, ONE_HOT)], "model_name": "m",
                                              "save_dir": tmp_path / "r", **options})
    assert fact in str(refused.value) and not (tmp_path / "r").exists()


@pytest.mark.parametrize("names", [{0: "wood", 1: "brick"}, {"brick": 1, "wood": 0}, iter(["wood", "brick"])],
                         ids=["number to name", "name to number", "iterator"])
def test_results_have_the_names_in_the_order_of_the_class_numbers(names, tmp_path):
    """Two photos of class 0, one of class 1; the validation photos have the same names."""
    photos, labels = np.zeros((3, 4, 4, 3), np.float32), np.eye(2)[[0, 0, 1]]
    found = evaluate_model(Answering(np.eye(2)[[0, 1, 1]] * 0.8 + 0.1), [(photos, labels)], "m", names, tmp_path,
                           val_ds=[(photos, labels)])
    assert list(found["class_names"]) == ["wood", "brick"]
    assert [found["per_class"][name]["support"] for name in ("wood", "brick")] == [2, 1]


def test_the_way_out_for_soft_labels_of_a_dataset_can_be_pasted(tmp_path):
    test_ds = [(PHOTOS, [[.9, .1], [.2, .8]])]
    with pytest.raises(LabelsError) as refused:
        evaluate_model(Answering(ONE_HOT), test_ds, "m", save_dir=tmp_path)
    hardened = eval(str(refused.value).split("soft labels: ")[1], {"numpy": np, "test_ds": test_ds})
    assert evaluate_model(Answering(ONE_HOT), hardened, "m", save_dir=tmp_path)["accuracy"] == 1


@pytest.mark.parametrize("results", [None, 3, {"accuracy": 0.5}, [3], ["m"], [None]], ids=str)
def test_what_is_no_list_of_results_is_not_compared(results, tmp_path):
    with pytest.raises(ResultsError, match="results_list"):
        compare_models(results, tmp_path)


@pytest.mark.parametrize("answer", [[["a", "b"], ["c", "d"]], [[0.5, 0.5], [1]], {"wood": 1}], ids=str)
def test_answers_that_are_no_numbers_are_refused(answer, tmp_path):
    with pytest.raises(ModelError, match="predict"):
        evaluate_model(Answering(answer), [(PHOTOS, ONE_HOT)], "m", save_dir=tmp_path)
