"""Each model's tab: what it shows, what it says is missing, and that a screen reader and a keyboard find their way."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest

from matlens.data.drawn.synthetic import draw_dataset
from matlens.errors import ModelError, WorkerError
from matlens.evaluation.judge import evaluate
from matlens.explanation.galleries import SHOWN, make_gallery
from matlens.jobs.run import judged_in, run, summarise
from matlens.report.page import write_report
from matlens.report.sections.gallery_view import PhotoPool, view_gallery
from matlens.report.sections.model_panel import panel_keys
from matlens.runs.record import note_failures
from matlens.runs.run import Run
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from report.pages import Page
from small_run import NAMES


@pytest.fixture(scope="module")
def judged(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The small run with all pictures, and galleries of the first model. Tests do not change it."""
    folder = Run.open(shutil.copytree(small_run, tmp_path_factory.mktemp("judged") / "run"))
    for name in NAMES:
        evaluate(folder, name, every_picture=True)
    make_gallery(folder, NAMES[0])
    summarise(folder)
    return folder


@pytest.fixture(scope="module")
def seen(judged: Run) -> Page:
    return Page(write_report(judged.path))


@pytest.fixture
def folder(judged: Run, tmp_path: Path) -> Run:
    """A copy to be changed."""
    return Run.open(shutil.copytree(judged.path, tmp_path / "run"))


def with_role(seen: Page, role: str) -> list[dict[str, str | None]]:
    return [attributes for _, attributes in seen.tags if attributes.get("role") == role]


def test_tabs_and_panels_belong_together(seen: Page) -> None:
    """One tab is chosen, and the only one that the tabulator reaches; each names a panel that is named after it."""
    tabs, panels = with_role(seen, "tab"), [found for _, found in seen.tags if found.get("class") == "panel"]
    assert [(tab["aria-selected"], tab["tabindex"]) for tab in tabs] == [("true", "0"), ("false", "-1")]
    assert [tab["aria-controls"] for tab in tabs] == [panel["id"] for panel in panels]
    assert [tab["id"] for tab in tabs] == [panel["aria-labelledby"] for panel in panels]


def test_without_a_script_all_panels_are_there(seen: Page) -> None:
    """And no tabs, which would do nothing."""
    (tabs,) = with_role(seen, "tablist")
    assert "hidden" in tabs and tabs["aria-label"]
    assert not any("hidden" in found for _, found in seen.tags if found.get("class") == "panel")
    assert all("hidden" in found for tag, found in seen.tags if tag == "button" and found.get("class") == "enlarge")


def test_headings_leave_out_no_level(seen: Page) -> None:
    levels = [int(tag[1]) for tag, _ in seen.tags if tag in ("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(deeper - level <= 1 for level, deeper in pairwise(levels))


def test_all_that_is_named_is_there_once(seen: Page) -> None:
    ids = seen.all("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in seen.all("href") if link.startswith("#")} <= set(ids)
    assert {*seen.all("aria-labelledby"), *seen.all("aria-controls")} <= set(ids)


def test_each_picture_says_what_it_shows(seen: Page) -> None:
    alts = [found["alt"] or "" for tag, found in seen.tags if tag == "img"]
    for name in NAMES:
        for title in ("Training curves", "Confusion matrix", "ROC curves", "Class scores", "Most confused pairs",
                      "Reliability", "Coverage and accuracy"):
            (alt,) = [each for each in alts if each.startswith(f"{title} of {name}: ")]
            assert len(alt) > len(f"{title} of {name}: .")
    assert "Differences of accuracy between models" in " ".join(alts)
    assert all(found.get("aria-label") for found in with_role(seen, "img"))


def test_measures_stand_with_their_intervals(judged: Run, seen: Page) -> None:
    """Of each model: 3 photos of 18 are labelled wrong, so accuracy is 15 / 18."""
    results = judged_in(judged)[0]
    assert results.accuracy == pytest.approx(15 / 18)
    ends = results.intervals["accuracy"]
    assert f"Accuracy 83.3 % {100 * ends['low']:.1f} to {100 * ends['high']:.1f} % test photos" in seen.text
    for words in ("Cohen's kappa", "Log loss", "Brier score", "ECE", "AURC", "Most confused pairs",
                  "least certain photos"):
        assert seen.text.count(words) >= len(NAMES), words
    assert "Top-3" not in seen.text and "Top-5" not in seen.text  # there are three classes


def test_galleries_show_each_photo_with_its_heat(judged: Run, seen: Page) -> None:
    """12 mistakes at most are asked for, and there are 3; 12 hits that were least sure."""
    view = view_gallery(judged.paths, judged_in(judged)[0], PhotoPool())
    assert view is not None
    cards = {title: [card for shelf in shelves for card in shelf.cards] for title, _, shelves in view.galleries}
    assert [len(found) for found in cards.values()] == [3, SHOWN, 3 + 9, 3]
    assert all(card.heat for found in cards.values() for card in found)
    assert sorted(card.path for card in cards["Confused pairs"]) == [
        f"test/{name}/wrong.png" for name in ("blue", "green", "red")]
    assert sum(tag == "use" for tag, _ in seen.tags) == 2 * sum(map(len, cards.values()))
    assert "Galleries of mistakes" in seen.text  # of the other model: how to make them
    assert "matlens explain RUN --galleries" in seen.text


def test_a_photo_is_in_the_page_once_however_many_galleries_show_it(folder: Run) -> None:
    def photos() -> list[str]:
        found = Page(write_report(folder.path))
        return [source for tag, attributes in found.tags if tag == "image"
                and (source := attributes["href"] or "").startswith("data:image/jpeg")]

    before = photos()
    assert len(before) == len(set(before)) > 0
    make_gallery(folder, NAMES[1])  # the same photos, by the other model
    assert sorted(photos()) == sorted(before)


@pytest.mark.parametrize("damage", [
    lambda content: content["confident_mistakes"].append(99), lambda content: content.pop("pairs"),
    lambda content: content["photos"][0].update(probability="<b>"), lambda content: content.update(per_class=[]),
    lambda content: content["photos"][0].update(jpeg="x" * 1_000_000)],
    ids=["no such photo", "no pairs", "no number", "no classes", "a huge photo"])
def test_a_damaged_gallery_is_named_and_hides_nothing_else(folder: Run, damage) -> None:
    file = folder.paths.on_request_file(NAMES[0], "gallery")
    content = json.loads(file.read_text("utf-8"))
    damage(content)
    file.write_text(json.dumps(content), "utf-8")
    text = Page(write_report(folder.path)).text
    assert f"{NAMES[0]}_gallery.json is" in text and "damaged" in text and "--galleries" in text
    assert text.count("Cohen's kappa") == len(NAMES)


def test_a_gallery_of_an_earlier_training_is_not_shown(folder: Run) -> None:
    artifact = folder.paths.artifact(NAMES[0]) / "artifact.json"
    artifact.write_text(artifact.read_text("utf-8") + "\n", "utf-8")
    seen = Page(write_report(folder.path))
    assert "was measured before" in seen.text
    assert not [tag for tag, _ in seen.tags if tag == "use"]


def test_pictures_on_request_are_shown_only_of_what_the_results_hold(folder: Run) -> None:
    """A picture may be older than the model; its summary is taken out of the results then."""
    shutil.copy(folder.paths.picture(NAMES[0], "coverage"), folder.paths.picture(NAMES[0], "robustness"))
    assert "Accuracy on degraded photos of" not in Page(write_report(folder.path)).text
    file = folder.paths.results_file(NAMES[0])
    content = json.loads(file.read_text("utf-8"))
    content["robustness"] = {"n_photos": 9, "accuracy": 0.5, "curves": {
        "patch_shuffle": {"strengths": [2, 3, 4, 6, 8], "accuracy": [0.5, 0.4, 0.3, 0.2, 0.125], "mean": 0.305}}}
    content["faithfulness"] = {"method": "gradcam", "n_photos": 9, "scores": {"gradcam": {"road": 0.25},
                               "random": {"road": 0.125}}, "gains": {"random": {"road": {
                                   "mean": 0.125, "standard_error": 0.03125}}}}
    file.write_text(json.dumps(content), "utf-8")
    text = Page(write_report(folder.path)).text
    assert "Accuracy on degraded photos of" in text
    assert "patch shuffle 50.0 % 40.0 % 30.0 % 20.0 % 12.5 % 30.5 %" in text
    assert "road 0.250 0.125 +0.125 ± 0.031" in text


def test_what_a_run_does_not_draw_is_told_with_the_command(small_run: Path, tmp_path: Path) -> None:
    shutil.copytree(small_run, tmp_path / "run")
    for kind in ("gallery", "faithfulness", "robustness"):
        for file in (tmp_path / "run" / "reports").glob(f"*_{kind}.json"):
            file.unlink()
    text = Page(write_report(tmp_path / "run")).text
    for command in ("matlens evaluate RUN", "matlens explain RUN --galleries", "matlens explain RUN --faithfulness 30",
                    "matlens evaluate RUN --robustness"):
        assert text.count(f": {command}") >= len(NAMES), command


def test_downloads_lead_to_files(judged: Run, seen: Page) -> None:
    links = [link for link in seen.all("href") if link.startswith("./")]
    assert {"./run.json", "./split.json", f"./models/{NAMES[0]}.artifact/",
            f"./reports/{NAMES[0]}_predictions.npz"} <= set(links)
    for link in links:
        assert (judged.path / unquote(link)).exists(), link


def test_of_three_models_the_two_that_are_done_are_shown_and_the_third_is_missed(folder: Run) -> None:
    content = json.loads(folder.paths.run_file.read_text("utf-8"))
    content["models"].append("vgg19_scratch")
    content["failures"] = {"vgg19_scratch": "<i>The system killed it</i>, for want of memory"}
    folder.paths.run_file.write_text(json.dumps(content), "utf-8")
    seen = Page(write_report(folder.path))
    assert len(with_role(seen, "tab")) == 2
    assert "vgg19_scratch was asked for and has no results. It failed: <i>The system killed it</i>" in seen.text
    assert "vgg19_ scratch no results: see below" in seen.text  # in the table, broken behind _
    folder.paths.training_file("vgg19_scratch").write_text("{}", "utf-8")
    assert "it is trained, but was not judged to the end. Judge it with: matlens evaluate RUN" in Page(
        write_report(folder.path)).text


def test_a_run_keeps_why_a_model_failed_until_it_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason went by on the terminal; who opens the page later needs it, too."""
    photos = draw_dataset(tmp_path / "photos", photos_per_class=10, size=32, seed=1, materials=("brick", "sky"))
    settings = Settings.load(options={"data_dir": photos, "img_size": 32, "models": "inception_v1,vgg19_scratch",
                                      "weights": "none", "cache_dir": tmp_path / "cache"})

    def fail(begun, name, reporter) -> None:
        raise ModelError(f"no {name} today")

    monkeypatch.setattr("matlens.jobs.run.train", fail)
    with pytest.raises(WorkerError):
        run(settings, tmp_path / "run", Reporter(quiet=True))
    folder = Run.open(tmp_path / "run")
    assert folder.failures == {name: f"no {name} today" for name in settings.models}
    note_failures(folder.paths, {}, ["inception_v1"])
    assert "It failed: no vgg19_scratch today" in Page(write_report(folder.path)).text
    assert "inception_v1 was asked for and has no results: it was not trained" in Page(write_report(folder.path)).text


def test_ids_of_panels_are_plain_and_different() -> None:
    assert panel_keys(["a b", "a-b", "<a>b", "x_1"]) == ["model-a-b", "model-a-b-2", "model--a-b", "model-x_1"]
