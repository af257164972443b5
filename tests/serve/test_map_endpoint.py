"""The server maps a photo as the command does, and refuses what it cannot map."""

from __future__ import annotations

import asyncio
import base64
import io
import threading

import numpy as np
import pytest
from PIL import Image

from mapping.colour_model import CLASSES, colour_artifact, halves
from matlens.data.pixels.reader import PhotoReader
from matlens.serving.models import ServedModel
from serve.served import png_of, with_client


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    return [ServedModel("colours", colour_artifact(tmp_path_factory.mktemp("served") / "colours.artifact"))]


def asked(served, path: str, **request):
    async def talk(client, engine):
        return await client.post(path, **request)

    return with_client(None, talk, models=served)


def picture_of(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_a_map_has_shares_an_overlay_and_class_numbers(served):
    answer = asked(served, "/v1/map?scales=1&window=0.5", content=png_of(halves("green", "blue")))
    assert answer.status_code == 200
    [made] = answer.json()["maps"]
    assert made["model"] == "colours" and made["unknown_share"] is None
    assert {entry["class"]: round(entry["share"], 1) for entry in made["legend"]} == {"green": 0.5, "blue": 0.5}
    assert len(made["scales"]) == 1
    assert picture_of(made["overlay"]).shape == (96, 160, 3)
    numbers = picture_of(made["numbers"])
    assert (numbers[:, :70] == CLASSES.index("green")).mean() > 0.95
    colours = {entry["class"]: entry["colour"] for entry in made["legend"]}
    assert all(len(colour) == 7 for colour in colours.values()) and len(set(colours.values())) == 2


@pytest.mark.parametrize(("query", "content", "status"), [
    ("", b"no photo", 422), ("", b"", 400), ("?scales=0", None, 400), ("?scales=a", None, 400),
    ("?window=0", None, 400), ("?window=x", None, 400), ("?window=nan", None, 400), ("?false_alarms=200", None, 400),
    ("?model=no", None, 400)])
def test_what_cannot_be_mapped_is_refused_with_the_reason(served, query, content, status):
    answer = asked(served, f"/v1/map{query}", content=png_of(halves("red", "blue")) if content is None else content)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_one_photo_is_mapped_at_once(served):
    files = [("photos", (f"{name}.png", png_of(halves("red", name)), "image/png")) for name in ("blue", "green")]
    assert asked(served, "/v1/map", files=files).status_code == 400


def test_maps_that_wait_hold_no_photos_in_their_own_size(served, monkeypatch):
    decoded, may_map = [], threading.Event()

    class CountingReader(PhotoReader):
        def attempt_content(self, content):
            decoded.append(content)
            return super().attempt_content(content)

    def slow_map(name, *_):
        may_map.wait(30)
        return {"model": name}

    monkeypatch.setattr("matlens.serving.engine.PhotoReader", CountingReader)
    monkeypatch.setattr("matlens.serving.engine.map_answer", slow_map)

    async def talk(client, engine):
        asking = [asyncio.create_task(client.post("/v1/map", content=png_of(halves("red", "blue")))) for _ in range(8)]
        while engine.waiting < 8 or not decoded:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # what is decoded at all before the first map is made, is by now
        before_the_first = len(decoded)
        may_map.set()
        return before_the_first, [answer.status_code for answer in await asyncio.gather(*asking)]

    before_the_first, statuses = with_client(None, talk, models=served)
    assert before_the_first <= 2
    assert statuses == [200] * 8
