"""The audit: every fault that is planted in drawn photos is found at the right place, and nothing else is."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted import fresh, plant, save

from matlens.data.audit import audit as audit_module
from matlens.data.audit.audit import Audit, audit
from matlens.data.audit.checks import ADVICE
from matlens.data.audit.photo_facts import looks_of
from matlens.data.source.minc import FILL_COLOUR
from matlens.data.source.sources import open_source
from matlens.data.split.splits import Photo, Split


def by_kind(found: Audit) -> dict[str, set[tuple[str, ...]]]:
    return {kind: {finding.paths for finding in found.of(kind)} for kind in ADVICE if found.of(kind)}


@pytest.fixture
def photos(drawn: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(drawn, tmp_path / "photos"))


def test_every_planted_fault_is_found_and_nothing_else(photos, matlens, tmp_path):
    """Also where names are made to break a page, a terminal or a log."""
    expected = plant(photos)
    assert by_kind(audit(open_source(photos))) == expected
    report, page = tmp_path / "out" / "audit.json", tmp_path / "out" / "audit.html"
    code, out, _ = matlens("data", "audit", photos, "--json", report, "--html", page, "--strict")
    assert code == 3
    content = json.loads(report.read_text(encoding="utf-8"))
    assert {kind: {tuple(found["paths"]) for found in content["findings"] if found["kind"] == kind}
            for kind in expected} == expected
    assert (content["format"], content["photos"], content["classes"]["tiny"]) == (1, 64, 1)
    assert content["thresholds"]["imbalance"] == 10
    [number] = re.findall(r"([0-9]+) issues in 64 photos", page.read_text(encoding="utf-8"))
    assert out.endswith(f"{number} issues in 64 photos\nwritten: {report}\nwritten: {page}\n")
    assert "a\\n<script>alert(1)<b> %s \\u202eü.jpg: it cannot be read" in out
    html = page.read_text(encoding="utf-8")
    assert "<script" not in html and "&lt;script&gt;" in html and "http" not in html.replace("http-equiv", "")
    assert "default-src 'none'" in html
    assert html.count("data:image/jpeg;base64,") == 17  # of 20 photos, each shown once, three cannot be read


def test_whole_drawn_photos_are_beyond_doubt(drawn, matlens):
    """An audit that cries wolf is not run twice."""
    code, out, _ = matlens("data", "audit", drawn, "--strict")
    assert (code, out) == (0, "0 issues in 48 photos\n")


def test_kinds_may_be_chosen(photos, matlens):
    """--strict then looks at those alone."""
    (photos / "sky/zero.png").touch()
    assert matlens("data", "audit", photos, "--strict", "--kind", "blank")[0] == 0
    assert matlens("data", "audit", photos, "--strict", "--kind", "blank", "--kind", "empty")[0] == 3
    code, _, message = matlens("data", "audit", photos, "--kind", "blury")
    assert code == 2
    assert "'blury'; choose from leak, two_classes" in message


@pytest.mark.parametrize("option", ["--json", "--html", "--quarantine"])
def test_a_place_that_cannot_be_written_is_told_before_the_work(photos, matlens, monkeypatch, tmp_path, option):
    """57,500 photos take minutes."""
    monkeypatch.setattr(audit_module, "read_facts", lambda *_: pytest.fail("the work has begun"))
    (tmp_path / "file").touch()
    code, _, message = matlens("data", "audit", photos, option, tmp_path / "file" / "inside")
    assert code == 2
    assert f"Cannot write {tmp_path / 'file' / 'inside'}" in message


def minc(root: Path) -> Path:
    """Two classes of six drawn photos; of wood, 2 is a copy of 1, and 4 is 3 encoded anew."""
    for name in ("brick", "wood"):
        for number in range(1, 7):
            save(root / f"images/{name}/{number}.jpg", fresh(name, 20 + number))
    shutil.copy(root / "images/wood/1.jpg", root / "images/wood/2.jpg")
    with Image.open(root / "images/wood/3.jpg") as image:
        image.save(root / "images/wood/4.jpg", quality=60)
    (root / "labels").mkdir()
    return root


def write_lists(root: Path, number: int, **lists: str) -> None:
    for listing, numbers in lists.items():
        lines = [f"images/{name}/{n}.jpg\n" for name in ("brick", "wood") for n in numbers.split()]
        (root / "labels" / f"{listing}{number}.txt").write_text("".join(lines))


def test_leaks_are_looked_for_in_every_official_split(tmp_path):
    """One finding a group, which names parts and splits; a photo that is listed twice is a leak, too."""
    root = minc(tmp_path / "minc")
    write_lists(root, 1, train="1 3", validate="4", test="2")
    write_lists(root, 2, train="1 2 3 4", validate="5", test="5 6 7")
    found = audit(open_source(root))
    leaks = {finding.paths: finding.detail for finding in found.of("leak")}
    assert leaks == {
        ("images/wood/1.jpg", "images/wood/2.jpg"): "identical files in train and test of minc:1",
        ("images/wood/3.jpg", "images/wood/4.jpg"): "almost identical photos in train and val of minc:1",
        **{(f"images/{name}/5.jpg",): "the photo is in val and test of minc:2"
           for name in ("brick", "wood")},
    }
    assert by_kind(found)["missing"] == {("images/brick/7.jpg",), ("images/wood/7.jpg",)}
    assert found.of("missing")[0].detail == "listed in minc:2 (test), but there is no such file"


def test_leaks_are_looked_for_in_folders_and_in_a_split(tmp_path, matlens):
    """train/ and test/ of a prepared directory; and the manifest that is named."""
    root = tmp_path / "prepared"
    for seed, (part, name) in enumerate((part, name) for part in ("train", "val", "test") for name in ("sky", "wood")):
        save(root / part / name / "1.jpg", fresh(name, 40 + seed))
    shutil.copy(root / "train/sky/1.jpg", root / "test/sky/2.jpg")
    paths = ("test/sky/2.jpg", "train/sky/1.jpg")
    assert [(found.paths, found.detail) for found in audit(open_source(root)).of("leak")] == [
        (paths, "identical files in train and test of the folders")]
    manifest = tmp_path / "mine.json"
    Split("random", ("sky", "wood"), tuple(Photo(path, "sky", part, "") for path, part in zip(
        (*paths, "val/sky/gone.jpg"), ("val", "train", "test"), strict=True))).write(manifest)
    report = tmp_path / "audit.json"
    assert matlens("data", "audit", root, "--split", manifest, "--json", report)[0] == 0
    found = {f["kind"]: f["detail"] for f in json.loads(report.read_text())["findings"]}
    assert found["leak"].endswith("in train and val of mine.json; in train and test of the folders")
    assert found["missing"] == "listed in mine.json (test), but there is no such file"


def test_a_split_of_other_photos_is_refused(drawn, matlens, tmp_path):
    """It would pass as one without leaks."""
    Split("random", ("a",), (Photo("a/1.jpg", "a", "train", ""),)).write(tmp_path / "split.json")
    code, _, message = matlens("data", "audit", drawn, "--split", tmp_path / "split.json")
    assert code == 2
    assert "split.json" in message and "another dataset" in message


@pytest.mark.parametrize(("colour", "low", "high", "burnt"), [((0, 0, 0), 0, 0, 0), ((255, 255, 255), 255, 255, 1),
                                                              ((10, 10, 10), 10, 10, 0)])
def test_looks_of_one_colour_are_known(colour, low, high, burnt):
    """Closed form: all levels are the colour's, nothing has an edge, and what is not FILL_COLOUR is not filled."""
    looks = looks_of(np.full((300, 400, 3), colour, dtype=np.uint8))
    assert (looks.flat, looks.low, looks.high, looks.burnt, looks.chroma, looks.filled) == (1, low, high, burnt, 0, 0)


@pytest.mark.parametrize(("top", "left", "share"), [(0, 64, 0.25), (32, 0, 0.125), (64, 64, 0.4375), (0, 0, 0)])
def test_padding_is_measured_as_a_share_of_the_photo(top, left, share):
    """1 - (1 - top/256)(1 - left/256), for bands of a 256 px photo of noise."""
    pixels = np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    pixels[:top], pixels[:, :left] = FILL_COLOUR, FILL_COLOUR
    assert looks_of(pixels).filled == pytest.approx(share)
