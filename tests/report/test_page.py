"""What a user would lose: a page that opens anywhere, hides nothing, and claims no more than was measured."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builders import PICTURES, png, report_folder
from matlens.errors import RunError
from matlens.evaluation.label_quality import LabelIssues, Suspect
from matlens.report.page import write_report
from matlens.report.sections.measures import measures
from matlens.report.words import caveats, whole_options
from report.pages import Page, page, results

EVIL = "<script>alert('glass & \"metal\"')</script>"

def bold_scores(seen: Page) -> int:
    return sum(pair == ("td", "strong") for pair in pairwise(tag for tag, _ in seen.tags))


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    seen = page(report_folder(tmp_path / "r", [results("m")]))
    assert all(source.startswith("data:image/png;base64,") for source in seen.all("src"))
    assert all(link.startswith(("#", "./")) for link in seen.all("href"))
    assert not {"link", "iframe", "object"} & {tag for tag, _ in seen.tags}
    html = (tmp_path / "r" / "report.html").read_text("utf-8")
    assert "url(" not in html and "@import" not in html and "http:" not in html and "https:" not in html
    assert "default-src 'none'" in html and "unsafe" not in html


def test_no_script_but_the_pages_own_may_run(tmp_path: Path) -> None:
    """A browser compares the hash of each script and style with the policy's."""
    html = write_report(report_folder(tmp_path / "r", [results("m")])).read_text("utf-8")
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in html


def test_pictures_are_inside_with_size_and_words(tmp_path: Path) -> None:
    seen = page(report_folder(tmp_path / "r", [results("m")]))
    pictures = [attributes for tag, attributes in seen.tags if tag == "img"]
    assert len(pictures) == 4
    for picture in pictures:
        assert base64.b64decode((picture["src"] or "").partition(",")[2]) == png()
        assert (picture["width"], picture["height"]) == ("40", "20")
    assert pictures[0]["alt"] == "Confusion matrix of m: 90.0\u00a0% of 100 test photos are right."


def test_large_pictures_are_packed_as_they_look(tmp_path: Path) -> None:
    """A figure without loss, photos with some; a file that only begins like a picture goes in as it is."""
    run = report_folder(tmp_path / "r", [results("m")])
    rng = np.random.default_rng(0)
    figure = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    photo = np.kron(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((50, 50, 1), np.uint8)) // 2 + figure // 8
    for kind, pixels in (("confusion_matrix", figure), ("gradcam", photo)):
        Image.fromarray(pixels).save(run / "reports" / f"m_{kind}.png")
    (run / "reports" / "m_roc_curves.png").write_bytes(png() + bytes(200_000))
    (run / "reports" / "m_training_curves.png").write_bytes(png()[:40] + bytes(200_000))
    sources = [(attributes["src"] or "").partition(",") for tag, attributes in page(run).tags if tag == "img"]
    assert [kind for kind, _, _ in sources] == ["data:image/webp;base64", "data:image/jpeg;base64",
                                                "data:image/png;base64", "data:image/webp;base64"]
    matrix, heat = (np.asarray(Image.open(BytesIO(base64.b64decode(content))).convert("RGB"), int)
                    for _, _, content in sources[:2])
    assert np.array_equal(matrix, figure)
    assert np.abs(heat - photo).mean() < 12 and len(base64.b64decode(sources[1][2])) < 150_000


def test_names_from_the_users_files_stay_text(tmp_path: Path) -> None:
    run = report_folder(tmp_path / "r", [results("m", classes=(EVIL, "wood"), remarks=(EVIL,))], (EVIL, "wood"))
    (run / '"><img src=x>.txt').write_text("", "utf-8")
    seen = page(run, title=EVIL)
    assert [tag for tag, _ in seen.tags].count("script") == 1  # the page's own
    assert len([tag for tag, _ in seen.tags if tag == "img"]) == 4
    assert seen.text.count(EVIL) >= 5  # title, heading, remarks, mistakes, scores of classes, counts
    assert "./%22%3E%3Cimg%20src%3Dx%3E.txt" in seen.all("href")


def test_an_interval_stands_where_old_results_hold_none(tmp_path: Path) -> None:
    text = page(report_folder(tmp_path / "r", [results("high", 0.9)])).text
    assert "high is right on 90.0 % of 100 test photos" in text
    assert "95 % confidence interval: 82.6 to 94.5 %" in text  # Wilson's, by statsmodels' proportion_confint
    assert "Always giving the same answer would be right on 50.0 % (each of the 2 classes has 50 test photos)." in text
    assert "most frequent class" not in text


def test_a_model_no_better_than_guessing_is_called_so(tmp_path: Path) -> None:
    text = page(report_folder(tmp_path / "r", [results("x", 0.55)])).text
    assert "right on 50.0 % (each of the 2 classes has 50 test photos), which is not clearly less" in text


def test_not_one_mistake_is_no_certainty_of_zero_error(tmp_path: Path) -> None:
    text = page(report_folder(tmp_path / "r", [results("x", 1.0)])).text
    assert "x is right on 100.0 % of 100 test photos" in text
    assert "± 0.0" not in text


def test_models_judged_on_different_photos_are_not_ranked(tmp_path: Path) -> None:
    seen = page(report_folder(tmp_path / "r", [results("x"), results("y", 0.5, split_hash="beef")]))
    assert "These models cannot be ranked" in seen.text
    assert "must not be ranked" in seen.text
    assert "y was judged on another split than the one in split.json." in seen.text
    assert bold_scores(seen) == 0


def test_the_best_scores_stand_out(tmp_path: Path) -> None:
    """Accuracy of one; macro precision, F1 and AUC of both, who are alike there."""
    assert bold_scores(page(report_folder(tmp_path / "r", [results("x"), results("y", 0.5)]))) == 1 + 2 * 3


def test_a_number_has_one_name(tmp_path: Path) -> None:
    """Of classes of one size the macro recall is the accuracy; of others it is the mean class accuracy alone."""
    def names(*support: int) -> set[str]:
        score = {"precision": 0.5, "recall": 0.25, "f1": 0.75}
        one = results("x", per_class={name: {**score, "support": n} for name, n in zip(("glass", "wood"), support,
                                                                                       strict=True)},
                      mean_class_accuracy=0.5, balanced_accuracy=0.5)
        return {found.name for found in measures(one)}

    assert not {"Macro recall", "Mean class accuracy", "Balanced accuracy"} & names(50, 50)
    assert {"Macro recall", "Mean class accuracy", "Balanced accuracy"} & names(60, 40) == {"Macro recall"}
    assert {"Macro recall", "Mean class accuracy"} <= names(100, 0)  # which of the two is asked for then counts


def test_a_run_of_one_model_is_compared_with_nothing(tmp_path: Path) -> None:
    seen = page(report_folder(tmp_path / "r", [results("x")]))
    assert "#comparison" not in seen.all("href") and "Comparison" not in seen.text
    assert "tablist" not in seen.all("role")
    assert "#comparison" in page(report_folder(tmp_path / "s", [results("x"), results("y", 0.5)])).all("href")


def test_the_head_says_which_photos_when_and_by_which_version(tmp_path: Path) -> None:
    run = report_folder(tmp_path / "r", [results("x")])
    content = json.loads((run / "run.json").read_text("utf-8")) | {
        "data_root": "/somewhere/kitchen floors", "started": "2026-11-08T23:30:00+00:00",
        "versions": {"matlens": "9.1"}}
    (run / "run.json").write_text(json.dumps(content), "utf-8")
    assert "kitchen floors 12 photos · 2 classes · 8 November 2026 · matlens 9.1" in page(run).text
    assert "Roofs kitchen floors · 12 photos" in page(run, title="Roofs").text
    (run / "run.json").write_text(json.dumps(content | {"data_root": 7, "started": "soon", "versions": []}), "utf-8")
    assert "12 photos · 2 classes" in page(run).text


def test_the_verdict_names_the_weakest_class_and_the_most_frequent_mistake(tmp_path: Path) -> None:
    score = {"precision": 0.5, "recall": 0.9, "f1": 0.8, "support": 60}
    one = results("x", per_class={"glass": score, "wood": {**score, "recall": 0.25, "f1": 0.3, "support": 40}},
                  confused_pairs=({"true": "wood", "predicted": "glass", "photos": 30, "share": 0.75,
                                   "interval": {"low": 0.6, "high": 0.85, "method": "wilson"}},))
    text = page(report_folder(tmp_path / "r", [one])).text
    assert "weakest class is wood: 10 of 40 photos are found (F1 30.0 %)" in text
    assert "takes wood for glass: 30 of 40 photos of wood" in text
    assert "“glass”, the most frequent class, would be right on 60.0 %" in text


def test_what_goes_for_all_models_is_said_once() -> None:
    """The reader need not compare three long lines to learn that they are the same."""
    random = "from random weights; no network"
    assert caveats([("a", ["few photos.", "old"]), ("b", ["few photos"]), ("c", [random, "few photos"])]) == [
        ("All models", "few photos"), ("a", "old"), ("c", random)]
    assert caveats([("a", ["few photos"]), ("b", [])]) == [("a", "few photos")]
    assert caveats([("a", ["few photos"])]) == [("a", "few photos")]
    assert caveats([("a", [""]), ("b", [])]) == caveats([]) == []


def test_the_name_of_an_option_is_not_divided() -> None:
    """Browsers end lines behind hyphens."""
    assert whole_options("<b> --choose-on val") == '&lt;b&gt; <span class="option">--choose-on</span> val'


def test_remarks_stand_beside_the_verdict(tmp_path: Path) -> None:
    text = page(report_folder(tmp_path / "r", [results("x", remarks=("Untrained backbone.",))])).text
    assert text.index("x: Untrained backbone") < text.index("The model")


def test_missing_models_and_pictures_are_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    run = report_folder(tmp_path / "r", [results("x")], asked=["x", "vgg19_scratch"], pictures=PICTURES[:2])
    (run / "reports" / "x_gradcam.png").write_bytes(b"half a PNG")
    (run / "reports" / "bad_results.json").write_text("{", "utf-8")
    seen = page(run)
    assert "vgg19_scratch was asked for and has no results" in seen.text
    assert "x: no picture of ROC curves, Grad-CAM." in seen.text
    assert "bad_results.json is not a results file" in seen.text
    assert len([tag for tag, _ in seen.tags if tag == "img"]) == 2


def test_a_model_whose_name_is_a_path_is_not_called_missing(tmp_path: Path) -> None:
    """Its files have another name than the model: what is there must not be asked for again."""
    seen = page(report_folder(tmp_path / "r", [results("acme/tiny")]))
    assert "was asked for and has no results" not in seen.text
    assert "acme/tiny" in seen.text
    links = [str(attributes.get("href")) for _, attributes in seen.tags]
    assert "./reports/acme-tiny_roc_curves.png" in links


def test_an_empty_run_has_a_page_too(tmp_path: Path) -> None:
    text = page(tmp_path).text
    assert "No model has been judged yet" in text
    assert "run.json is missing." in text and "split.json is missing." in text


def test_a_damaged_split_does_not_hide_the_results(tmp_path: Path) -> None:
    run = report_folder(tmp_path / "r", [results("x")])
    (run / "split.json").write_text("[1, 2]", "utf-8")
    text = page(run).text
    assert "split.json is damaged" in text and "x is right on" in text


def test_photos_are_counted_by_class_and_part(tmp_path: Path) -> None:
    text = page(report_folder(tmp_path / "r", [results("x")])).text
    assert "Class train val test all glass 3 2 1 6 wood 3 2 1 6 All classes 6 4 2 12" in text


@pytest.mark.parametrize("count, more", [(50, ""), (73, "and 23 more")])
def test_fifty_left_out_files_are_named_and_the_rest_counted(tmp_path: Path, count: int, more: str) -> None:
    text = page(report_folder(tmp_path / "r", [results("x")], left_out=count)).text
    assert f"Left out: {count} files" in text and f"0 bytes: {count}." in text
    assert "bad49.jpg" in text and "bad50.jpg" not in text
    assert more in text and ("more, in split.json" in text) == bool(more)


def test_settings_and_versions_are_there_to_repeat_the_run(tmp_path: Path) -> None:
    text = page(report_folder(tmp_path / "r", [results("x")])).text
    for words in ("img_size [224, 224]", "paths.data d", "numpy 2.4.6", "keras 3.15.1", "c0ffee"):
        assert words in text


def test_files_are_linked_and_leftovers_are_not(tmp_path: Path) -> None:
    run = report_folder(tmp_path / "r", [results("x")])
    (run / "models" / "x.artifact").mkdir(parents=True)
    (run / "models" / "Glaß 1.h5").write_bytes(b"0" * 1500)
    (run / "models" / ".x.7.partial.h5").write_bytes(b"0")
    write_report(run)
    seen = page(run)
    links = [link for link in seen.all("href") if link.startswith("./")]
    assert "./models/x.artifact/" in links and "./models/Gla%C3%9F%201.h5" in links
    assert not [link for link in links if "partial" in link or "report.html" in link]
    assert "models/Glaß 1.h5 1.5 kB" in seen.text


def test_a_screen_reader_finds_its_way(tmp_path: Path) -> None:
    seen = page(report_folder(tmp_path / "r", [results("x"), results("y")], left_out=3))
    tags = [tag for tag, _ in seen.tags]
    assert [tag for tag in ("header", "nav", "main", "footer", "h1") if tags.count(tag) != 1] == []
    assert tags.count("table") == tags.count("caption")
    assert all(attributes.get("scope") for tag, attributes in seen.tags if tag == "th")
    ids = seen.all("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in seen.all("href") if link.startswith("#")} <= set(ids)
    assert set(seen.all("aria-labelledby")) <= set(ids)
    assert all(attributes.get("alt") for tag, attributes in seen.tags if tag == "img")
    assert all("tabindex" in attributes for _, attributes in seen.tags if attributes.get("role") == "region")
    assert ("html", {"lang": "en"}) in seen.tags


def test_the_title_is_the_users(tmp_path: Path) -> None:
    run = report_folder(tmp_path / "r", [results("x")])
    assert "Kitchen floors" in page(run, title="Kitchen floors").text
    content = json.loads((run / "run.json").read_text("utf-8")) | {"title": "Roofs"}
    (run / "run.json").write_text(json.dumps(content), "utf-8")
    assert "Roofs" in page(run).text


def test_a_file_name_that_is_no_text_does_not_break_the_page(tmp_path: Path) -> None:
    run = report_folder(tmp_path / "r", [results("x")])
    split = json.loads((run / "split.json").read_text("utf-8"))
    split["left_out"] = [{"path": "\udcff.jpg", "reason": "not an image"}]
    (run / "split.json").write_text(json.dumps(split), "utf-8")
    if sys.platform == "linux":
        (run / "\udcff.txt").write_text("", "utf-8")
    seen = page(run)
    assert "?.jpg" in seen.text
    assert sys.platform != "linux" or "./%FF.txt" in seen.all("href")


def test_the_page_replaces_the_old_one_whole(tmp_path: Path) -> None:
    run = report_folder(tmp_path / "r", [results("x")])
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert [path.name for path in run.iterdir() if "partial" in path.name] == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nowhere is not a folder.*--out"):
        write_report(tmp_path / "nowhere")


def suspect(path: str, given: str = "glass", suggested: str = "wood") -> Suspect:
    return Suspect(path, given, suggested, 0.05, 0.925, 0.0625, ("x",))


def write_noise(folder: Path, n: int, size: tuple[int, int]) -> tuple[Suspect, ...]:
    """Photos that no JPEG can make small."""
    (folder / "photos").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for i in range(n):
        Image.fromarray(pixels).save(folder / "photos" / f"{i}.png")
    return tuple(suspect(f"{i}.png") for i in range(n))


def test_suspect_labels_are_shown_with_their_photos(tmp_path: Path) -> None:
    """The longer side becomes 160 px; a photo that is gone, or broken, is named all the same."""
    suspects = (*write_noise(tmp_path / "r", 1, (100, 400)), suspect("gone.jpg"), suspect("broken.jpg"))
    (tmp_path / "r" / "photos" / "broken.jpg").write_bytes(b"no photo")
    seen = page(report_folder(tmp_path / "r", [results("x"), results("y")], suspects=suspects))
    pictures = [attributes for tag, attributes in seen.tags if "jpeg" in (attributes.get("src") or "")]
    assert [(picture["width"], picture["height"]) for picture in pictures] == [("160", "40")]
    with Image.open(BytesIO(base64.b64decode((pictures[0]["src"] or "").partition(",")[2]))) as photo:
        assert (photo.format, photo.size) == ("JPEG", (160, 40))
    assert "For 3 of 100 test photos" in seen.text and "not proven wrong" in seen.text
    assert "label glass , perhaps wood (92.5 %); 1 of 2 models disagree with the label 0.png" in seen.text
    assert seen.text.count("cannot be read any more") == 2 and "gone.jpg" in seen.text and "broken.jpg" in seen.text
    assert "#labels" in seen.all("href")


def test_many_suspects_keep_the_page_small(tmp_path: Path) -> None:
    """24 pictures; even of noise, which compresses worst, they take less than half a megabyte."""
    suspects = write_noise(tmp_path / "r", 25, (160, 160))
    run = report_folder(tmp_path / "r", [results("x")], suspects=suspects)
    seen = page(run)
    assert sum("jpeg" in source for source in seen.all("src")) == 24
    assert "The 24 likeliest are shown; all are in reports/label_issues.json" in seen.text and "24.png" not in seen.text
    with_pictures = (run / "report.html").stat().st_size
    LabelIssues(("x",), 100, ()).write(run / "reports" / "label_issues.json")
    assert with_pictures - write_report(run).stat().st_size < 500_000


def test_without_suspects_a_sentence_says_so(tmp_path: Path) -> None:
    run = report_folder(tmp_path / "r", [results("x")])
    text = page(run).text
    assert "No label is worth a second look" in text and "What is missing" not in text
    (run / "reports" / "label_issues.json").unlink()
    text = page(run).text
    assert "label_issues.json" in text and "What is missing" in text and "second look" not in text


def test_names_of_suspects_stay_text(tmp_path: Path) -> None:
    seen = page(report_folder(tmp_path / "r", [results("x")], suspects=(suspect(EVIL, EVIL, EVIL),)))
    assert [tag for tag, _ in seen.tags].count("script") == 1  # the page's own
    assert seen.text.count(EVIL) == 3
