"""The training photos that a photo is most like, with pictures of the run's own photos alone; groups of materials."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from matlens.features.beside import note_novelty
from matlens.jobs.predict import AskedPhotos, predict_files
from matlens.runs.run import Run
from matlens.serving.models import open_models
from matlens.serving.nearest import SHOWN, RunPhotos
from serve.served import MODELS, novelty_with_names, photo_of, with_client


@pytest.fixture
def run(small_run, tmp_path) -> Path:
    """A copy whose first model knows its training photos."""
    shutil.copytree(small_run, tmp_path / "run")
    opened = open_models([tmp_path / "run"], print)[0]
    note_novelty(opened.artifact.folder, novelty_with_names(opened, tmp_path / "run"))
    return tmp_path / "run"


def asked(place: Path, colour: str = "red", **more) -> list[dict]:
    async def talk(client, engine):
        return (await client.post("/v1/nearest", content=photo_of(colour))).json()["nearest"]

    return with_client(place, talk, **more)


def test_the_nearest_training_photos_have_names_classes_and_pictures(run):
    knowing, other = asked(run)
    assert len(knowing["photos"]) == SHOWN
    first = knowing["photos"][0]
    assert (first["class"], first["path"].split("/")[:2]) == ("red", ["train", "red"])
    assert first["similarity"] == pytest.approx(1, abs=0.01)
    similarities = [photo["similarity"] for photo in knowing["photos"]]
    assert similarities == sorted(similarities, reverse=True)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(first["jpeg"]))).convert("RGB"))
    assert picture.shape[:2] == (first["height"], first["width"])
    assert (picture[..., 0].astype(int) - picture[..., 2]).max() > 100, "it shows red"
    assert knowing["remark"] is None
    assert other["photos"] == []
    assert "matlens evaluate" in other["remark"]


def test_a_photo_that_was_changed_moved_or_replaced_by_a_link_to_another_has_no_picture(run, tmp_path):
    photos, root = Run.open(run).split.part("train"), tmp_path / "moved"
    shutil.copytree(Run.open(run).data_root, root)
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**content, "data_root": str(root)}))
    secret = tmp_path / "secret.png"
    secret.write_bytes(photo_of("green", 77))
    changed, linked, gone, piped, *_ = [root / photo.path for photo in photos if photo.class_name in ("red", "blue")]
    changed.write_bytes(photo_of("red", 99))
    for place in (linked, gone, piped):
        place.unlink()
    linked.symlink_to(secret)
    os.mkfifo(piped)
    told = asked(run)[0]
    with_pictures = {photo["path"] for photo in told["photos"] if photo["jpeg"]}
    without = {photo["path"] for photo in told["photos"] if not photo["jpeg"]}
    assert with_pictures.isdisjoint(place.relative_to(root).as_posix() for place in (changed, linked, gone, piped))
    assert with_pictures and without
    assert str(len(without)) in told["remark"]


def test_only_photos_of_the_split_are_opened(run):
    photos = RunPhotos.of_run(Run.open(run))
    inside = next(iter(photos.digests))
    assert photos.thumbnail(inside) is not None
    (photos.root / "other.png").write_bytes(photo_of("red"))
    try:
        assert [photos.thumbnail(path) for path in ("other.png", "../../etc/passwd", f"./{inside}", "")] == [None] * 4
    finally:
        (photos.root / "other.png").unlink()


def test_an_artifact_without_its_run_gives_names_alone_and_says_so(run, tmp_path):
    artifact = next(path for path in (run / "models").glob("*.artifact") if (path / "novelty.npz").exists())
    inside, = asked(artifact)
    alone, = asked(Path(shutil.copytree(artifact, tmp_path / "alone" / artifact.name)))
    assert inside["photos"][0]["jpeg"]
    assert [photo["path"] for photo in alone["photos"]] == [photo["path"] for photo in inside["photos"]]
    assert {photo["jpeg"] for photo in alone["photos"]} == {None}
    assert "without its run" in alone["remark"]


def test_a_model_that_does_not_know_its_photos_says_so_in_the_list(run):
    async def talk(client, engine):
        two = [("photos", (name, photo_of("red"))) for name in ("a.png", "b.png")]
        return ((await client.get("/v1/models")).json()["models"],
                [(await client.post("/v1/nearest", **more)).status_code for more in (
                    {"files": two}, {"content": b"no photo"}, {"content": b""})],
                (await client.post(f"/v1/nearest?model={MODELS[1]}", content=photo_of("red"))).json()["nearest"])

    models, refused, one = with_client(run, talk)
    assert [model["tells_nearest"] for model in models] == [True, False]
    assert refused == [400, 422, 400]
    assert [each["model"] for each in one] == [MODELS[1]]


def test_groups_of_materials_have_the_sum_of_their_classes_probabilities(run, tmp_path):
    (run / "material_groups.toml").write_text('[groups]\nwarm = ["red", "green"]\n')
    artifact = open_models([run], print)[0].artifact

    async def talk(client, engine):
        return (await client.post("/v1/predict", content=photo_of("red", 120))).json()["photos"][0]["answers"][0]

    answer = with_client(run, talk)
    (tmp_path / "red.png").write_bytes(photo_of("red", 120))
    printed = json.loads(next(predict_files(artifact, AskedPhotos.of([tmp_path / "red.png"]), as_json=True))[0])
    for each in (answer, printed):
        shares = each["probabilities"]
        assert each["groups"] == {"blue": pytest.approx(shares["blue"]),
                                  "warm": pytest.approx(shares["red"] + shares["green"])}
