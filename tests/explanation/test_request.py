"""`matlens explain` and `matlens evaluate --robustness` from the command line, on a run without a framework."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from matlens.evaluation.results import Results
from matlens.explanation.faithfulness.results import Faithfulness
from matlens.explanation.galleries import Gallery
from matlens.explanation.request import Request
from matlens.system.files import read_json, write_json
from small_run import NAMES


@pytest.fixture
def run(small_run, tmp_path) -> Path:
    """A copy to write to, of what a run has by itself; the photos stay where they are."""
    measured = shutil.ignore_patterns("*_faithfulness.*", "*_gallery.json", "*robustness.*")
    return Path(shutil.copytree(small_run, tmp_path / "run", ignore=measured))


def pictures(out: str) -> list[str]:
    found = [Path(line) for line in out.splitlines() if not line.startswith("  ")]
    for path in found:
        assert path.read_bytes().startswith(b"\x89PNG"), path
    return [path.name for path in found]


@pytest.mark.parametrize(("request_", "kind"), [
    (Request(), "gradcam"), (Request(images=(Path("a"),)), "gradcam_images"), (Request(worst=5), "gradcam_worst"),
    (Request(class_name="a/ b"), "gradcam_a-b"), (Request(worst=5, class_name="wood"), "gradcam_worst_wood"),
    (Request(method="gradcam++", target="sky"), "gradcam++_for_sky"),
    (Request(score="probability"), "gradcam_probability"),
    (Request(method="hirescam", layer="block4_conv4"), "hirescam_at_block4_conv4")])
def test_every_wish_has_a_picture_of_its_own(request_, kind):
    """Or one would overwrite another, or the report's."""
    assert request_.kind == kind
    assert request_.is_plain == (kind == "gradcam")


def test_photos_are_explained_by_each_model_and_side_by_side(run, small_run, matlens):
    """`--images` twice, both models."""
    photos = sorted((small_run.parent / "photos" / "test" / "red").glob("[01].png"))
    code, out, err = matlens("explain", run, "--images", photos[0], "--images", photos[1])
    assert (code, err) == (0, "")
    assert all(f"  {name}: {photo}: red, " in out for name in NAMES for photo in photos), "the answers are told"
    assert pictures(out) == [*(f"{name}_gradcam_images.png" for name in NAMES), "side_by_side_gradcam_images.png"]
    code, out, _ = matlens("explain", run, "--images", photos[0], "--models", NAMES[0], "--method", "hirescam")
    assert pictures(out) == [f"{NAMES[0]}_hirescam_images.png"]


def test_a_model_that_cannot_be_explained_keeps_no_other_from_it(run, small_run, matlens):
    """It is named with the reason, and the exit code says that something is missing."""
    photo = small_run.parent / "photos" / "test" / "red" / "0.png"
    (run / "models" / f"{NAMES[0]}.artifact" / "trunk.bin").unlink()
    code, out, err = matlens("explain", run, "--images", photo)
    assert code == 2 and pictures(out) == [f"{NAMES[1]}_gradcam_images.png"]
    assert f"{NAMES[0]}.artifact" in err


def test_the_worst_of_all_and_of_a_class(run, matlens):
    """There is one mistake in each class."""
    assert pictures(matlens("explain", run, "--worst", 2, "--models", NAMES[0])[1]) == [f"{NAMES[0]}_gradcam_worst.png"]
    code, out, _ = matlens("explain", run, "--worst", 9, "--class", "red", "--models", NAMES[0], "--target", "red")
    assert (code, pictures(out)) == (0, [f"{NAMES[0]}_gradcam_worst_red_for_red.png"])
    assert pictures(matlens("explain", run, "--class", "blue", "--models", NAMES[0])[1]) == [
        f"{NAMES[0]}_gradcam_blue.png"]


def test_where_there_is_no_mistake_that_is_said(run, matlens):
    """Not an empty picture, and no failure."""
    path = run / "reports" / f"{NAMES[0]}_predictions.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | {"probabilities": np.eye(3, dtype=np.float32)[arrays["labels"]]})
    code, out, _ = matlens("explain", run, "--worst", 2, "--models", NAMES[0])
    assert (code, out.strip()) == (0, f"{NAMES[0]}: no mistake among the test photos")


@pytest.mark.parametrize(("arguments", "named"), [
    (("--class", "stone"), "--class stone"),
    (("--target", "stone"), "It knows blue, green, red"),
    (("--method", "scorecam"), "'scorecam'. Choose from gradcam, gradcam++, hirescam"),
    (("--score", "loss"), "'loss' (--score). Choose from logit, probability"),
    (("--score", "probability", "--method", "gradcam++"), "gradcam, hirescam"),
    (("--score", "probability", "--layer", "x"), "--layer x"),
    (("--images", "nowhere.jpg"), "Cannot read nowhere.jpg"),
    (("--images", "a.jpg", "--worst", "3"), "give one or the other"),
    (("--images", "a.jpg", "--class", "red"), "there is --target"),
    (("--galleries", "--worst", "3"), "leave out --images"),
    (("--faithfulness", "3", "--layer", "x"), "leave out --images"),
    (("--worst", "0"), "--worst"), (("--faithfulness", "0"), "--faithfulness")])
def test_slips_are_named(run, matlens, arguments, named):
    """Exit code 2, and what to do."""
    code, _, err = matlens("explain", run, *arguments)
    assert code == 2
    assert named in err


@pytest.mark.slow
def test_faithfulness_galleries_and_robustness_are_kept_and_noted_in_the_results(run, matlens):
    """Summaries stand in the results, also when those are made anew; not when the model is another one by now."""
    assert matlens("explain", run, "--faithfulness", 6, "--galleries", "--models", NAMES[0])[0] == 0
    assert matlens("evaluate", run, "--robustness", "--robustness-photos", 6, "--models", NAMES[0])[0] == 0
    reports = run / "reports"
    results = Results.read(reports / f"{NAMES[0]}_results.json")
    found = Faithfulness.read(reports / f"{NAMES[0]}_faithfulness.json")
    assert results.faithfulness == read_json(reports / f"{NAMES[0]}_results.json")["faithfulness"] == found.summary
    assert results.robustness is not None
    assert results.robustness["n_photos"] == 6
    assert Gallery.read(reports / f"{NAMES[0]}_gallery.json").photos
    for kind in ("faithfulness", "robustness"):
        assert (reports / f"{NAMES[0]}_{kind}.png").read_bytes().startswith(b"\x89PNG")
    assert not (reports / "robustness.png").exists()
    code, out, _ = matlens("evaluate", run, "--robustness", "--robustness-photos", 3, "--models", NAMES[1])
    assert code == 0
    assert any(line.endswith("/robustness.png") for line in out.splitlines())

    about = run / "models" / f"{NAMES[0]}.artifact" / "artifact.json"
    write_json(about, read_json(about) | {"parity": 1e-5})
    code, _, err = matlens("evaluate", run, "--models", NAMES[0])
    assert code == 0
    assert f"{NAMES[0]}_robustness.json was measured before {NAMES[0]} was trained or exported again" in err
    assert Results.read(reports / f"{NAMES[0]}_results.json").robustness is None


def test_how_many_photos_are_worse_is_said_with_robustness_alone(run, matlens):
    """A limit without the measurement would do nothing."""
    code, _, err = matlens("evaluate", run, "--robustness-photos", 3)
    assert code == 2
    assert "give both" in err
