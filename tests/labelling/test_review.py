"""`matlens review`: which photos are shown and why, what is decided, and what a stranger may not."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from builders import tree_hash
from labelling.desks import asking, copied, desk_of
from matlens.data.prepare import prepare
from matlens.errors import SettingsError
from matlens.jobs.labelling.cards import review_cards
from matlens.runs.run import Run
from matlens.serving.server import refuse_open_door
from matlens.settings.corrections.setting import read_corrections
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from small_run import CLASSES, make_run

TOKEN = "0123456789abcdef"


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Path:
    return copied(small_run, tmp_path / "run")


def answers(desk, *asked: dict, **more) -> list:
    async def talk(client):
        return [await client.post("/v1/decide", json=decision) for decision in asked]

    return asking(desk, talk, **more)


def number_of(desk, path: str) -> int:
    return next(number for number, photo in enumerate(desk.run.split.photos) if photo.path == path)


def test_wrong_labels_come_first_with_what_the_models_say(run):
    """Of each class one test photo shows the next class' colour."""
    desk = desk_of(run)
    about = desk.about()
    first = about["cards"][:3]
    assert {about["photos"][card["number"]]["path"] for card in first} == {
        f"test/{name}/wrong.png" for name in CLASSES}
    for card in first:
        label = about["photos"][card["number"]]["label"]
        shown = CLASSES[(CLASSES.index(label) + 1) % 3]
        assert card["reasons"][0]["kind"] == "label"
        assert len(card["answers"]) == 2
        assert all(next(iter(answer)) == shown for answer in card["answers"].values())
    assert about["decided"] == {}


def test_copies_and_poor_photos_are_cards_too_each_photo_once(drawn, tmp_path):
    """Of photos that models were trained on no label is judged, but that a photo is in two classes is seen."""
    root = Path(shutil.copytree(drawn, tmp_path / "photos"))
    one, other = sorted((root / "wood").iterdir())[0], root / "sky" / "copy.jpg"
    shutil.copy(one, other)
    Image.new("RGB", (48, 48), "black").save(root / "brick" / "black.png")
    settings = Settings.load(options={"data_dir": root, "cache_dir": tmp_path / "cache", "img_size": 48})
    run = Run.begin(tmp_path / "run", settings, root, prepare(settings, Reporter(quiet=True)).split)
    found = review_cards(run, Reporter(quiet=True))
    cards = {run.split.photos[card.number].path: card for card in found}
    pair = [path.relative_to(root).as_posix() for path in (one, other)]
    for path, like in zip(pair, reversed(pair), strict=True):
        assert [reason.kind for reason in cards[path].reasons] == ["copy"]
        assert "two classes" in cards[path].reasons[0].words
        assert [run.split.photos[number].path for number in cards[path].like] == [like]
        assert cards[path].answers == {}
    assert [reason.kind for reason in cards["brick/black.png"].reasons] == ["photo"]
    assert len(cards) == len(found)
    (root / "brick" / "black.png").write_bytes(b"changed")
    assert "brick/black.png" not in {run.split.photos[card.number].path
                                     for card in review_cards(run, Reporter(quiet=True))}


def test_decisions_are_on_the_disk_when_they_are_answered_and_photos_are_as_they_were(run):
    desk = desk_of(run)
    photos = tree_hash(desk.run.data_root)
    one, two, three = (card.number for card in desk.cards[:3])
    label = desk.run.split.photos[one].class_name
    other = next(name for name in CLASSES if name != label)
    [first] = answers(desk, {"number": one, "action": "relabel", "to": other})
    path = desk.run.split.photos[one].path
    assert read_corrections(str(run / "corrections.csv")) == {path: (desk.run.split.photos[one].sha256, label, other)}
    assert first.json()["decided"] == {str(one): {"action": "relabel", "to": other}}
    *_, last = answers(desk, {"number": two, "action": "leave_out"}, {"number": three, "action": "keep"},
                       {"number": one, "action": "undo"}, {"number": two, "action": "undo"})
    assert last.json()["decided"] == {str(three): {"action": "keep", "to": desk.run.split.photos[three].class_name}}
    assert read_corrections(str(run / "corrections.csv")) == {}
    assert len((run / "corrections.csv").read_text("utf-8").splitlines()) == 1 + 5
    assert tree_hash(desk.run.data_root) == photos


def test_two_reviews_of_one_run_see_each_other(run):
    """Two tabs, or two servers."""
    first, second = desk_of(run), desk_of(run)
    one, two = (card.number for card in first.cards[:2])
    answers(first, {"number": one, "action": "leave_out"})
    assert set(answers(second, {"number": two, "action": "keep"})[0].json()["decided"]) == {str(one), str(two)}
    assert set(first.decided()["decided"]) == {one, two}


def test_what_is_no_decision_is_refused_and_nothing_is_written(run):
    desk = desk_of(run)
    one = desk.cards[0].number
    hidden = number_of(desk, "train/red/0.png")
    wrong = ({}, {"number": one}, {"number": one, "action": "delete"}, {"number": one, "action": "relabel"},
             {"number": one, "action": "relabel", "to": "velvet"}, {"number": str(one), "action": "keep"},
             {"number": True, "action": "keep"}, {"number": -1, "action": "keep"}, {"number": hidden, "action": "keep"},
             {"number": one, "action": "relabel", "to": ["red"]}, {"number": one, "action": "undo"})
    statuses = [answer.status_code for answer in answers(desk, *wrong)]
    assert set(statuses) == {400, 404, 409}
    assert statuses[-1] == 409

    async def talk(client):
        return [(await client.post("/v1/decide", content=content)).status_code
                for content in (b"", b"{", b"[]", b"\xff", b"1" * 100_000, b"[" * 5000)]

    assert asking(desk, talk) == [400, 400, 400, 400, 413, 400]
    assert not (run / "corrections.csv").exists()


def test_only_photos_of_the_page_are_served_small_upright_and_as_they_were(tmp_path, run):
    desk = desk_of(run)
    one, two = desk.cards[0].number, desk.cards[1].number
    hidden = number_of(desk, "train/red/0.png")

    async def talk(client):
        paths = [f"/v1/photo?number={number}" for number in (one, hidden, -1, "9" * 400, "../run.json", "", "1e3")]
        return [await client.get(path) for path in paths]

    good, *others = asking(desk, talk)
    assert good.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(good.content)) as image:
        assert image.size == (48, 48)
    assert {answer.status_code for answer in others} == {404}
    photo = desk.run.split.photos[two]
    place = tmp_path / "elsewhere" / photo.path
    place.parent.mkdir(parents=True)
    large = Image.fromarray(np.zeros((900, 1800, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera that was turned
    large.save(place, exif=exif)
    moved = dataclasses.replace(desk.run, data_root=tmp_path / "elsewhere", split=dataclasses.replace(
        desk.run.split, photos=tuple(dataclasses.replace(each, sha256=hashlib.sha256(place.read_bytes()).hexdigest())
                                     if each is photo else each for each in desk.run.split.photos)))
    with Image.open(io.BytesIO(dataclasses.replace(desk, run=moved).picture(two))) as image:
        assert image.size == (360, 720)
    place.write_bytes(b"another content")

    async def changed(client):
        return await client.get(f"/v1/photo?number={two}")

    answer = asking(dataclasses.replace(desk, run=moved), changed)
    assert answer.status_code == 404
    assert photo.path in answer.json()["error"]


def test_pages_of_other_sites_and_who_has_no_token_get_nothing(run):
    desk = desk_of(run)
    decision = {"number": desk.cards[0].number, "action": "leave_out"}

    async def talk(client):
        right = {"Authorization": f"Bearer {TOKEN}"}
        posts = [await client.post("/v1/decide", json=decision, headers=headers) for headers in (
            {}, {"Authorization": "Bearer wrong-token"}, {**right, "Origin": "http://elsewhere.example"})]
        gets = [await client.get(path) for path in ("/v1/review", "/v1/decided", "/v1/photo?number=1", "/",
                                                    "/review.js", "/shared.js", "/style.css")]
        known = await client.get("/v1/review", headers=right)
        return [answer.status_code for answer in (*posts, *gets, known)]

    assert asking(desk, talk, token=TOKEN) == [401, 401, 403, 401, 401, 401, 200, 200, 200, 200, 200]

    async def by_other_name(client):
        return (await client.get("/v1/review")).status_code

    assert asking(desk, by_other_name, base="http://rebound.example") == 403
    assert not (run / "corrections.csv").exists()
    with pytest.raises(SettingsError, match="matlens review"):
        refuse_open_door("0.0.0.0", None, (run,), "review")


def test_a_damaged_file_of_decisions_is_named_on_the_page_and_stays(run):
    desk = desk_of(run)
    (run / "corrections.csv").write_text("mine\n")
    [answer] = answers(desk, {"number": desk.cards[0].number, "action": "keep"})
    assert answer.status_code == 500
    assert "corrections.csv" in answer.json()["error"]
    assert (run / "corrections.csv").read_text() == "mine\n"


def test_decisions_on_a_run_that_applied_corrections_go_on_from_the_labels_of_the_folders(tmp_path, small_run):
    """A third run with the new file then applies the old corrections and the new ones."""
    split = Run.open(small_run).split
    photo = next(each for each in split.photos if each.path == "test/red/wrong.png")  # which shows blue
    after = make_run(tmp_path / "after", corrections={photo.path: (photo.sha256, "red", "green")})
    desk = desk_of(after.path)
    number = number_of(desk, photo.path)
    assert desk.run.split.photos[number].class_name == "green"
    assert desk.decided()["decided"][number] == {"action": "relabel", "to": "green"}
    answers(desk, {"number": number, "action": "relabel", "to": "blue"})
    assert read_corrections(str(after.path / "corrections.csv")) == {photo.path: (photo.sha256, "red", "blue")}
    undone = answers(desk, *[{"number": number, "action": "undo"}] * 3)
    assert [answer.status_code for answer in undone] == [200, 200, 409]
    assert undone[1].json()["decided"][str(number)] == {"action": "undo", "to": "red"}
    assert read_corrections(str(after.path / "corrections.csv")) == {}


def test_the_command_names_what_is_wrong_before_it_reads_photos(matlens, run, tmp_path):
    (run / "corrections.csv").write_text("mine\n")
    code, _, err = matlens("review", run)
    assert code == 2
    assert "corrections.csv" in err
    code, _, err = matlens("review", run, "--host", "0.0.0.0")
    assert code == 2
    assert "--token" in err
    code, _, err = matlens("review", tmp_path / "none")
    assert code == 2
    assert "none" in err
