"""What the server answers is what `matlens predict` prints, however photos are sent."""

from __future__ import annotations

import asyncio
import json

import pytest

from matlens.features.artifact import Artifact
from matlens.jobs.answers import AnswerOptions
from matlens.jobs.predict import AskedPhotos, predict_files
from matlens.serving.endpoints import ENDPOINTS
from matlens.serving.models import ServedModel, open_models
from serve.served import MODELS, STRANGER, novelty_of, photo_of, with_client, zip_of
from small_run import CLASSES

PHOTOS = {f"{colour}{level}.png": photo_of(colour, level) for colour in CLASSES for level in (120, 255)}


def as_form(photos: dict[str, bytes]) -> list:
    return [("photos", (name, content, "image/png")) for name, content in photos.items()]


def printed(run, tmp_path, model: str, question: AnswerOptions = AnswerOptions()) -> dict[str, dict]:  # noqa: B008
    """{name: what the command prints} of all photos."""
    for name, content in PHOTOS.items():
        (tmp_path / name).write_bytes(content)
    asked = AskedPhotos.of([tmp_path / name for name in PHOTOS])
    artifact = Artifact.open(run / "models" / f"{model}.artifact")
    lines = [json.loads(line) for line, _ in predict_files(artifact, asked, as_json=True, question=question)]
    return {name: {key: value for key, value in line.items() if key != "path"}
            for name, line in zip(PHOTOS, lines, strict=True)}


def assert_same(answer: dict, expected: dict) -> None:
    """All alike; probabilities to rounding, since a batch may be added up in another order."""
    assert answer.keys() == expected.keys()
    for key, value in expected.items():
        close = key in ("probability", "unknown_p") or isinstance(value, dict)
        assert answer[key] == (pytest.approx(value, abs=1e-5) if close and value is not None else value), key


def test_answers_are_those_of_the_command_from_a_form_raw_bytes_and_a_zip(small_run, tmp_path):
    async def talk(client, engine):
        form = client.post("/v1/predict", files=as_form(PHOTOS))
        single = [client.post("/v1/predict", content=content) for content in PHOTOS.values()]
        archive = client.post("/v1/predict", files=[("x", ("a.zip", zip_of({f"in/{name}": content for name, content
                                                                            in PHOTOS.items()}), "application/zip"))])
        body = client.post("/v1/predict", content=zip_of(PHOTOS), headers={"Content-Type": "application/zip"})
        return await asyncio.gather(form, archive, body, *single)

    answers = with_client(small_run, talk)
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    form, archive, body, *single = (answer.json()["photos"] for answer in answers)
    assert [photo["name"] for photo in form] == [photo["name"] for photo in archive] == list(PHOTOS)
    for number, model in enumerate(MODELS):
        expected = printed(small_run, tmp_path, model)
        for photos in (form, archive, body, [photo[0] for photo in single]):
            for photo, line in zip(photos, expected.values(), strict=True):
                assert_same(photo["answers"][number], line)


def test_a_server_says_what_is_probably_none_of_its_materials_and_gives_sets(small_run):
    opened = open_models([small_run], print)[0]
    object.__setattr__(opened.artifact, "novelty", novelty_of(opened))

    async def talk(client, engine):
        files = as_form({"blue.png": photo_of("blue", 221), "yellow.png": STRANGER})
        usual = await client.post("/v1/predict", files=files)
        strict = await client.post("/v1/predict?coverage=99&by_class=1&false_alarms=2&raw=true", files=files)
        few = await client.post("/v1/predict?false_alarms=0.5", files=files)
        return [[photo["answers"][0] for photo in answer.json()["photos"]] for answer in (usual, strict, few)]

    usual, strict, few = with_client(small_run, talk, models=[ServedModel("m", opened.artifact)])
    assert [answer["unknown"] for answer in usual] == [False, True]
    assert usual[0]["set"] == ["blue"]
    assert usual[1]["unknown_p"] == pytest.approx(1 / 91)
    assert set(strict[0]["set"]) == set(CLASSES), "30 of a class are too few for 99 %"
    assert [answer["unknown"] for answer in few] == [None, None], "0.5 % takes 199 photos"


def test_models_are_chosen_by_name_and_heat_maps_drawn(small_run):
    async def talk(client, engine):
        listed = (await client.get("/v1/models")).json()["models"]
        one = (await client.post(f"/v1/predict?model={MODELS[1]}", content=photo_of("red"))).json()
        heat = (await client.post("/v1/explain?class=blue", content=photo_of("blue"))).json()
        wrong = [await client.post(path, content=photo_of("red")) for path in (
            "/v1/predict?model=vgg20", "/v1/explain?class=gold", "/v1/predict?coverage=100", "/v1/predict?raw=maybe")]
        return listed, one, heat, wrong

    listed, one, heat, wrong = with_client(small_run, talk)
    assert [model["name"] for model in listed] == list(MODELS)
    assert listed[0]["classes"] == list(CLASSES)
    assert [answer["model"] for answer in one["photos"][0]["answers"]] == [MODELS[1]]
    assert [(each["class"], each["heat"][:8]) for each in heat["explained"]] == [("blue", "iVBORw0K")] * 2
    assert [answer.status_code for answer in wrong] == [400] * 4
    assert "vgg20" in wrong[0].json()["error"]
    assert MODELS[0] in wrong[0].json()["error"]


def test_every_endpoint_is_answered_and_described(small_run):
    async def talk(client, engine):
        statuses = {each.path: (await (client.get(each.path) if each.method == "GET" else client.post(
            each.path, content=photo_of("red")))).status_code for each in ENDPOINTS}
        return statuses, (await client.get("/openapi.json")).json(), (await client.get("/docs")).text

    statuses, document, page = with_client(small_run, talk)
    assert set(statuses.values()) == {200}
    assert document["openapi"].startswith("3.")
    for each in ENDPOINTS:
        described = document["paths"][each.path][each.method.lower()]
        assert [option["name"] for option in described["parameters"]] == [option.name for option in each.options]
        assert ("requestBody" in described) == each.takes_photos
        assert f"{each.method} {each.path}" in page
    assert "http:" not in page.replace("http://127.0.0.1:8000", ""), "nothing is loaded from elsewhere"
