"""What a server refuses, in words and without a 5xx, and that it answers others meanwhile."""

from __future__ import annotations

import asyncio
import io
import struct
import time
import zipfile
import zlib

import pytest

from matlens.serving.engine import AnsweringEngine
from matlens.serving.limits import ServerLimits
from serve.served import photo_of, with_client, zip_of

PHOTO = photo_of("red")
TOKEN = "0123456789abcdef"


def huge_png(side: int = 20_000) -> bytes:
    """The head of a picture of 400 megapixels in 60 bytes."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def lying_zip() -> bytes:
    """A ZIP whose member says to be small and unpacks to 100 megabytes."""
    content = bytearray(zip_of({"a.png": b"\0" * 100_000_000}))
    for magic, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(magic) + place
        content[at:at + 4] = struct.pack("<I", 1000)
    return bytes(content)


def status_and_words(run, *posts: dict, path: str = "/v1/predict", limits: ServerLimits | None = None, **more) -> list:
    async def talk(client, engine):
        answers = [await client.post(path, **post) for post in posts]
        assert (await client.post("/v1/predict", content=PHOTO, headers=more.get("headers"))).status_code == 200
        assert engine.waiting == 0
        return [(answer.status_code, answer.json()["error"]) for answer in answers]

    return with_client(run, talk, limits=limits or ServerLimits())


@pytest.mark.parametrize(("content", "word"), [
    (b"", "no photo"), (b"\0" * 500, "not an image"), (b"<html>no</html>", "not an image"), (PHOTO[:60], "photo"),
    (zip_of({"a.png": PHOTO}), "zip archive"), (huge_png(), "50,000,000"), (b"%PDF-1.7 ...", "PDF"),
    (huge_png(8000), "50,000,000")], ids=["empty", "zeros", "html", "cut", "zip", "400 megapixels", "pdf",
                                          "64 megapixels"])
def test_what_is_no_photo_is_refused_with_the_reason(small_run, content, word):
    (status, words), = status_and_words(small_run, {"content": content})
    assert status in (400, 422)
    assert word in words


def test_damaged_photos_end_no_others(small_run):
    async def talk(client, engine):
        files = [("photos", (name, content)) for name, content in (("a.png", PHOTO), ("b.jpg", zip_of({"x": b""})),
                                                                   ("../../etc/passwd", b"root"))]
        return (await client.post("/v1/predict", files=files)).json()["photos"]

    whole, archive, text = with_client(small_run, talk)
    assert "answers" in whole
    assert "zip archive" in archive["error"]
    assert (text["name"], "error" in text) == ("passwd", True)


@pytest.mark.parametrize(("members", "limits"), [
    ({"a.png": b"\0" * 30_000_000, "b.png": b"\0" * 30_000_000}, ServerLimits(request_bytes=1 << 20)),
    ({f"{number}.png": PHOTO for number in range(5)}, ServerLimits(photos=4)),
    ({"notes.txt": b"none"}, ServerLimits())])
def test_a_zip_that_holds_too_much_or_nothing_is_refused(small_run, members, limits):
    (status, words), = status_and_words(small_run, {"files": {"x": ("a.zip", zip_of(members))}}, limits=limits)
    assert 400 <= status < 500
    assert words


def test_a_zip_that_lies_about_its_sizes_or_is_cut_off_or_locked_is_refused(small_run):
    locked = bytearray(zip_of({"a.png": PHOTO}))
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    posts = [{"files": {"x": ("a.zip", content)}} for content in (
        lying_zip(), zip_of({"a.png": PHOTO})[:-30], bytes(locked), b"PK\x03\x04" + b"\0" * 100)]
    nested = zip_of({"a.png": zip_of({"b.png": PHOTO})})
    posts.append({"content": nested, "headers": {"Content-Type": "application/zip"}})
    assert {status // 100 for status, _ in status_and_words(small_run, *posts)} == {4}


def test_forms_that_are_damaged_are_refused(small_run):
    kind = "multipart/form-data; boundary=x"
    head = b"--x\r\nContent-Disposition: form-data; name=a; filename=b.png\r\n\r\n"
    posts = [{"content": content, "headers": {"Content-Type": given}} for content, given in (
        (head + PHOTO, kind), (b"nothing", kind), (head + PHOTO + b"\r\n--x--", "multipart/form-data"),
        (b"--x--\r\n", kind), (b"--x\r\n" + b"A: " + b"b" * 100_000 + b"\r\n\r\n\r\n--x--\r\n", kind))]
    assert {status for status, _ in status_and_words(small_run, *posts)} <= {400, 413}


def test_limits_hold_for_bytes_photos_and_pixels(small_run):
    limits = ServerLimits(request_bytes=20_000, photo_bytes=1000, photos=2, photo_pixels=48 * 48)
    three = [("photos", (f"{number}.png", PHOTO)) for number in range(3)]
    answers = status_and_words(small_run, {"content": b"\xff\xd8\xff" + b"\0" * 30_000}, {"files": three},
                               {"content": b"\x89PNG" + b"\0" * 2000}, {"content": huge_png(49)}, limits=limits)
    assert [status for status, _ in answers] == [413, 413, 422, 422]
    assert "1,000 bytes" in answers[2][1]
    assert "2,304" in answers[3][1]


def test_a_body_that_never_ends_is_given_up_and_others_are_answered(small_run):
    async def talk(client, engine):
        async def endless():
            while True:
                yield b"x"
                await asyncio.sleep(0.02)

        started = time.monotonic()
        slow = asyncio.create_task(client.post("/v1/predict", content=endless()))
        quick = await client.post("/v1/predict", content=PHOTO)
        return quick.status_code, (await slow).status_code, time.monotonic() - started

    assert with_client(small_run, talk, limits=ServerLimits(upload_seconds=0.5))[:2] == (200, 408)


def test_overload_is_answered_with_429_and_when_to_come_back(small_run):
    async def talk(client, engine):
        answers = await asyncio.gather(*(client.post("/v1/predict", content=PHOTO) for _ in range(20)))
        later = await client.post("/v1/predict", content=PHOTO)
        return answers, later.status_code

    answers, later = with_client(small_run, talk, limits=ServerLimits(queue=3))
    assert {answer.status_code for answer in answers} == {200, 429}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers if answer.status_code == 429)
    assert later == 200
    assert {answer.status_code for answer in with_client(
        small_run, lambda client, engine: asyncio.gather(*(client.post("/v1/predict", content=PHOTO + b"\0" * 5000)
                                                           for _ in range(20))), limits=ServerLimits(held_bytes=20_000))
            } <= {200, 429}


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/explain", "/v1/nearest", "/v1/map"])
@pytest.mark.parametrize("limits", [ServerLimits(queue=0), ServerLimits(held_bytes=1)], ids=["queue", "memory"])
def test_each_refusal_for_overload_is_counted(small_run, path, limits):
    async def talk(client, engine):
        status = (await client.post(path, content=PHOTO)).status_code
        return status, (await client.get("/metrics")).text

    status, counts = with_client(small_run, talk, limits=limits)
    assert status == 429
    assert "matlens_overloaded_total 1" in counts.splitlines()


def test_a_defect_of_a_network_is_no_hang_and_names_no_secret(small_run, monkeypatch):
    async def talk(client, engine: AnsweringEngine):
        monkeypatch.setattr(type(engine.models[0]), "answers", lambda *_: 1 / 0)
        broken = await client.post("/v1/predict", content=PHOTO)
        monkeypatch.undo()
        return broken.status_code, (await client.post("/v1/predict", content=PHOTO)).status_code, engine.waiting

    assert with_client(small_run, talk) == (500, 200, 0)


def test_a_token_is_asked_for_where_there_is_one(small_run):
    async def talk(client, engine):
        right = {"Authorization": f"Bearer {TOKEN}"}
        return [(await client.get(path, headers=headers)).status_code for path, headers in (
            ("/v1/models", {}), ("/v1/models", {"Authorization": f"Bearer {TOKEN}x"}),
            ("/v1/models", {"Authorization": TOKEN}), ("/v1/models", right), ("/metrics", {}), ("/metrics", right),
            ("/healthz", {}), ("/", {}), ("/docs", {}))]

    statuses = with_client(small_run, talk, token=TOKEN, base="http://materials.example")
    assert statuses == [401, 401, 401, 200, 401, 200, 200, 200, 200]


def test_pages_of_other_sites_cannot_ask(small_run):
    """By a name of their own that leads to this machine, or from their own address."""
    async def talk(client, engine):
        return [(await client.post("/v1/predict", content=PHOTO, headers=headers)).status_code for headers in (
            {"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"},
            {"Host": "["}, {"Origin": "http://["}, {"Origin": "http://127.0.0.1:8000"}, {"Host": "localhost:8000"})]

    assert with_client(small_run, talk) == [403, 403, 403, 400, 400, 200, 200]


@pytest.mark.parametrize("base", ["http://127.0.0.2:8000", "http://[::1]:8000", "http://localhost:8000"])
def test_each_address_of_this_machine_is_answered_without_a_token(small_run, base):
    """`--host 127.0.0.2` needs no token, so what asks by that name must be answered."""
    async def talk(client, engine):
        return (await client.post("/v1/predict", content=PHOTO)).status_code

    assert with_client(small_run, talk, base=base) == 200


def test_every_answer_has_a_strict_policy_and_unknown_paths_are_named(small_run):
    async def talk(client, engine):
        answers = [await client.get(path) for path in ("/", "/style.css", "/v1/models", "/none", "/v1/predict")]
        return answers, (await client.get("/metrics")).text

    answers, metrics = with_client(small_run, talk)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 405]
    assert all("default-src 'none'" in answer.headers["Content-Security-Policy"] for answer in answers)
    assert "/none" in answers[3].json()["error"]
    assert 'matlens_requests_total{path="other",status="404"} 1' in metrics, "strangers make no new lines"


def test_the_archive_modules_limits_are_ours(small_run):
    """A ZIP of 10,001 names is refused before any is looked at."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number in range(10_001):
            archive.writestr(f"{number}.txt", b"")
    (status, words), = status_and_words(small_run, {"files": {"x": ("a.zip", content.getvalue())}})
    assert (status, "members" in words) == (400, True)
