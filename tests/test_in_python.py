"""`matlens.run`, `predict`, `explain` and `report` in Python, and what their values say in a notebook."""

from __future__ import annotations

import importlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import matlens
from builders import drawn_predictions, results_of
from matlens.comparison.table import compare
from matlens.errors import RunError, SettingsError
from matlens.evaluation.metrics.scores import judge
from matlens.jobs import python
from matlens.notebook.evaluate_model import JudgedModel
from matlens.runs.run import Run
from matlens.training.history import History
from small_run import CLASSES, NAMES, probability

SHORT = 300
"""Letters of a value that is the last line of a cell."""


@pytest.fixture(scope="module")
def run(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run.open(Path(shutil.copytree(small_run, tmp_path_factory.mktemp("small") / "run")))


def test_predict_answers_photos_and_folders_and_names_what_cannot_be_read(run, tmp_path):
    """The probability is the network's own, worked out by hand."""
    (tmp_path / "text.jpg").write_text("no photo")
    answers = matlens.predict(run.path, [run.data_root / "test" / "red", tmp_path / "text.jpg"])
    assert {answer.class_name for answer in answers if "wrong" not in answer.path} == {"red", None}
    certain = next(answer for answer in answers if answer.path.endswith("0.png"))
    assert certain.probability == pytest.approx(probability(), abs=1e-4)
    assert sum(certain.probabilities.values()) == pytest.approx(1)
    assert answers[-1].problem and answers[-1].probability is None
    assert len(repr(answers)) < SHORT and "text.jpg" in answers._repr_html_()
    (one,) = matlens.predict(str(run.path), str(run.data_root / "test" / "blue" / "0.png"), model=NAMES[1])
    assert one.class_name == "blue"


def test_explain_draws_photos_and_shows_them(run):
    """Of each model a picture, and one of both side by side."""
    maps = matlens.explain(run.path, run.data_root / "test" / "red" / "0.png")
    assert len(maps.paths) == 3 and all(path.read_bytes().startswith(b"\x89PNG") for path in maps.paths)
    assert maps._repr_html_().count("data:image/png;base64,") == 3
    assert len(repr(maps)) < 3 * SHORT
    (worst,) = matlens.explain(run.path, models=[NAMES[0]], worst=2).paths
    assert "worst" in worst.name


def test_report_writes_the_page_and_shows_it_in_a_frame(run):
    """Also once the room of that name is imported, which then stands in the package under this name."""
    page = matlens.report(run.path)
    assert page.path == run.path / "report.html" and page.path.is_file()
    assert page._repr_html_().startswith("<iframe srcdoc=") and "<script" not in page._repr_html_()
    importlib.import_module("matlens.report.page")

    assert matlens.report(run.path).path == page.path


def test_report_writes_nothing_into_a_folder_that_is_no_run(tmp_path):
    """A folder of photos, named by mistake, stays as it is; a series keeps its own page."""
    (tmp_path / "photos" / "wood").mkdir(parents=True)
    with pytest.raises(RunError, match="photos"):
        matlens.report(tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["wood"]
    series = tmp_path / "series"
    series.mkdir()
    (series / "series.json").write_text("{}")
    (series / "report.html").write_text("of all runs")
    assert matlens.report(series).path.read_text() == "of all runs"


def test_run_takes_the_names_of_settings_and_returns_what_was_compared(run, tmp_path, monkeypatch):
    """As the command line's options arrive; the value stands for its folder."""
    arrived = []
    monkeypatch.setattr(python, "run_job", lambda settings, out, reporter: arrived.append((settings, out)) or run)
    finished = matlens.run(run.data_root, models=[NAMES[0]], max_epochs=2, img_size=48, out=tmp_path / "new")
    (settings, out), = arrived
    assert (settings.models, settings.max_epochs, settings.img_size) == ((NAMES[0],), 2, (48, 48))
    assert (settings.data_dir, out) == (run.data_root, tmp_path / "new")
    assert {row.model for row in finished.comparison.rows} == set(NAMES)
    assert len(repr(finished)) < SHORT and finished._repr_html_().count("<tr>") == 3
    assert matlens.predict(finished, run.data_root / "test" / "red" / "0.png")[0].class_name == "red"
    with pytest.raises(SettingsError, match="matlens run --data"):
        matlens.run(run.data_root, seeds=3)
    with pytest.raises(SettingsError, match="epochen"):
        matlens.run(run.data_root, epochen=3)


def test_values_of_the_guides_functions_are_short_on_a_last_line(run):
    """A split of 57,500 photos filled a notebook with 70 kB for 480 of them."""
    assert len(repr(run.split)) < SHORT
    sizes = [int(number) for number in re.findall(r"\d+", repr(run.split))][:3]
    assert sizes == [len(run.split.part(part)) for part in ("train", "val", "test")]
    assert run.split._repr_html_().count("<tr>") == 1 + len(run.split.class_names) + 1
    answers = drawn_predictions(30, 3)
    judged = JudgedModel(judge(answers, ("a", "b", "c")).fields, model_name="x")
    assert len(repr(judged)) < SHORT and judged._repr_html_().count("<tr>") == 4
    assert isinstance(judged, dict) and np.isclose(judged["accuracy"], (answers.predicted == answers.labels).mean())
    assert len(repr(compare([results_of("x", 0.5, 30)]))) < SHORT
    assert len(repr(results_of("x", 0.5, 30))) < SHORT
    assert len(repr(History())) < SHORT


def test_photo_counts_knows_every_layout(run):
    """By part where there are parts."""
    counts = matlens.photo_counts(Path(run.data_root))
    assert set(counts) == {"train", "val", "test"} and counts["test"] == dict.fromkeys(CLASSES, 6)


def test_no_weights_means_random_ones(monkeypatch, tmp_path):
    """`weights=None` is what messages say for Python, and what Keras takes: it must not ask for ImageNet's."""
    asked = []

    def begun(settings, *others):
        asked.append(settings.weights)
        raise SettingsError("far enough")

    monkeypatch.setattr(python, "run_job", begun)
    for given in ({"weights": None}, {}):
        with pytest.raises(SettingsError, match="far enough"):
            matlens.run(tmp_path, **given)
    assert asked == ["none", "imagenet"]
