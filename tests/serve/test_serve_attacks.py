"""A server that strangers and broken clients attack: every refusal has words, none a status of 500 or above, and the
server answers the next photo as before.

The usual run sends a few hundred; MATLENS_ATTACKS=all (make attacks) sends 10,000 damaged photos, and as many forms.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import httpx2
import numpy as np
import pytest

from data.fuzzing import damaged, whole_photos
from scale import rounds
from serve.served import photo_of, zip_of
from serve.test_process import free_port
from serve.test_refusals import huge_png, lying_zip

pytestmark = [pytest.mark.slow, pytest.mark.attacks,
              pytest.mark.skipif(sys.platform != "linux", reason="memory is told by /proc")]

PHOTO = photo_of("red")
SECONDS, MEGABYTES = 2, 8
"""What the attacked server gives an upload."""


class Attacked(NamedTuple):
    port: int
    server: subprocess.Popen
    folder: Path
    said: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def is_well(self) -> None:
        """It answers a photo, holds none, and said nothing of a defect."""
        with httpx2.Client(base_url=self.address, timeout=60) as client:
            answer = client.post("/v1/predict", content=PHOTO).json()["photos"][0]["answers"][0]
            assert answer["class"] == "red"
            assert "matlens_photos_waiting 0" in client.get("/metrics").text
        assert self.server.poll() is None
        assert "Traceback" not in self.said.read_text(errors="replace")

    def held(self) -> float:
        """Megabytes that the server holds."""
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.server.pid}/status").read_text())[1]) / 1024

    def raw(self, content: bytes) -> bytes:
        """What it says to some bytes, until it closes or says no more."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as client:
            with contextlib.suppress(OSError):  # it may have closed already
                client.sendall(content)
                client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                return b"".join(iter(lambda: client.recv(65536), b""))
        return b""


@pytest.fixture(scope="module")
def attacked(small_run, tmp_path_factory) -> Iterator[Attacked]:
    folder = tmp_path_factory.mktemp("attacked")
    port, said = free_port(), folder.parent / "attacked-said"
    with said.open("wb") as told:
        server = subprocess.Popen(
            [sys.executable, "-m", "matlens", "serve", str(small_run), "--port", str(port), "--timeout", str(SECONDS),
             "--max-upload", str(MEGABYTES)], cwd=folder, stdout=told, stderr=told)
    try:
        for _ in range(1200):
            with contextlib.suppress(OSError):
                if urlopen(f"http://127.0.0.1:{port}/readyz").status == 200:
                    break
            assert server.poll() is None, said.read_text()
            time.sleep(0.1)
        yield Attacked(port, server, folder, said)
    finally:
        server.kill()
        server.wait()
    assert list(folder.iterdir()) == [], "nothing that is uploaded touches the disk"


def assert_in_words(answer: httpx2.Response) -> None:
    """Photos with answers or reasons, or a refusal with a reason."""
    assert answer.status_code < 500, answer.text
    content = answer.json()
    if answer.status_code == 200:
        assert {"photos", "explained", "nearest"} & content.keys()
        assert all(photo["error"].strip() for photo in content.get("photos", ()) if "answers" not in photo)
    else:
        assert content["error"].strip()


def test_damaged_photos_are_answered_or_refused_with_a_reason(attacked):
    photos, statuses, before = whole_photos(), Counter(), attacked.held()
    with httpx2.Client(base_url=attacked.address, timeout=120) as client:
        for start in range(0, rounds(320, 10_000), 16):
            batch = [damaged(photos, number)[1] for number in range(start, start + 16)]
            files = [("photos", (f"{number}.jpg", content)) for number, content in enumerate(batch)]
            posts = [("/v1/predict", {"files": files}), ("/v1/explain", {"content": batch[0]}),
                     ("/v1/nearest", {"content": batch[1]}), ("/v1/predict", {"content": batch[2]}),
                     ("/v1/predict", {"files": {"x": ("a.zip", zip_of(dict.fromkeys(("a.png", "b.jpg"), batch[3])))}})]
            for path, post in posts:
                answer = client.post(path, **post)
                statuses[answer.status_code] += 1
                assert_in_words(answer)
                if "files" in post and path == "/v1/predict" and len(files) == len(answer.json().get("photos", ())):
                    assert [photo["name"] for photo in answer.json()["photos"]] == [name for _, (name, _) in files]
    assert statuses.keys() == {200, 422}, "some are photos all the same, some are none"
    attacked.is_well()
    assert attacked.held() < before + 600


def test_damaged_forms_and_archives_are_refused_with_a_reason(attacked):
    head = b"--x\r\nContent-Disposition: form-data; name=a; filename=b.png\r\nContent-Type: image/png\r\n\r\n"
    form = (head + PHOTO + b"\r\n" + head.replace(b"b.png", b"c.zip") + zip_of({"in/c.png": PHOTO}) + b"\r\n--x--\r\n")
    others = [zip_of({f"{n}.png": PHOTO[:n * 9] for n in range(9)}), b"--x\r\n" * 50, b"\r\n\r\n", b"\0" * 90]
    kinds = ("multipart/form-data; boundary=x", "multipart/form-data; boundary=", "application/zip", "text/plain",
             'multipart/form-data; boundary="x', "multipart/form-data; boundary=" + "y" * 300, "\xff/\xfe", "")
    statuses = Counter()
    with httpx2.Client(base_url=attacked.address, timeout=120) as client:
        for number in range(rounds(300, 10_000)):
            rng = np.random.default_rng(number)
            kind = kinds[0] if number % 2 else kinds[int(rng.integers(len(kinds)))]
            photos = {"form": form, **{str(place): content for place, content in enumerate(others)}}
            content = damaged(photos, 0 if number % 3 else number)[1] if number % 5 else form
            content = damaged({"form": content}, number)[1] or b"-"
            answer = client.post("/v1/predict", content=content, headers={"Content-Type": kind.encode("latin-1")})
            statuses[answer.status_code] += 1
            assert_in_words(answer)
    assert max(statuses) < 500
    assert {200, 400} <= statuses.keys()
    attacked.is_well()


def quine_like() -> bytes:
    """A ZIP of ZIPs of ZIPs, each with a photo's name."""
    content = PHOTO
    for _ in range(20):
        content = zip_of({"a.png": content, "b.zip": content})
    return content


def overlapping_zip() -> bytes:
    """A ZIP whose 200 members are all the same 4 megabytes (Fifield 2019)."""
    content = bytearray(zip_of({"0.png": b"\0" * (4 << 20)}))
    start = content.index(b"PK\x01\x02")
    entry = content[start:content.index(b"PK\x05\x06")]
    entries = b"".join(bytes(entry[:-5]) + f"{n % 10}{chr(97 + n // 10)}png"[:5].encode() for n in range(200))
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 200, 200, len(entries), start, 0)
    return bytes(content[:start]) + entries + end


@pytest.mark.parametrize(("name", "make", "status"), [
    ("a.zip", lying_zip, 400), ("a.zip", quine_like, 200), ("a.zip", overlapping_zip, 400),
    ("a.zip", lambda: zip_of({f"{n}.png": b"\0" * (30 << 20) for n in range(3)}), 400),
    ("a.png", lambda: zip_of({"a.png": PHOTO}), 200), ("a.zip", lambda: PHOTO + zip_of({"b.png": PHOTO}), 200),
    ("a.zip", lambda: b"PK\x05\x06" + b"\0" * 18, 200), ("a.zip", lambda: b"PK\x03\x04" + PHOTO, 400),
    ("a.png", huge_png, 200), ("a.zip", lambda: zip_of({f"{n}.png": huge_png() for n in range(90)}), 200)],
    ids=["lies", "nested", "overlaps", "bomb", "zip as photo", "photo and zip", "empty zip", "photo as zip",
         "400 megapixels", "90 of 400 megapixels"])
def test_archives_that_unpack_to_too_much_or_pretend_to_be_photos(attacked, name, make, status):
    before = attacked.held()
    with httpx2.Client(base_url=attacked.address, timeout=120) as client:
        answer = client.post("/v1/predict", files={"photos": (name, make())})
    assert answer.status_code == status, answer.text
    assert_in_words(answer)
    assert attacked.held() < before + 300
    attacked.is_well()


@pytest.mark.parametrize("name", [
    "../../../../tmp/x.png", "..\\..\\x.png", "C:\\x.png", "/etc/passwd", "~/.ssh/x.png", "a\0b.png", "\x1b[2J.png",
    "x" * 5000 + ".png", "<img src=x onerror=alert(1)>.png", "CON", "a\r\nSet-Cookie: a=b.png", "", "ü\u202epng.exe"])
def test_names_are_shown_in_short_and_are_no_paths(attacked, name):
    """The server's folder stays empty, which the fixture looks at."""
    shown = name.encode().replace(b"\r\n", b" ")
    content = (b'--x\r\nContent-Disposition: form-data; name="photos"; filename="' + shown + b'"\r\n\r\n' + PHOTO
               + b"\r\n--x--\r\n")
    posts = [(content, "multipart/form-data; boundary=x")]
    with contextlib.suppress(ValueError):
        posts.append((zip_of({f"{name}.png": PHOTO}), "application/zip"))
    for body, kind in posts:
        answer = httpx2.post(f"{attacked.address}/v1/predict", content=body, headers={"Content-Type": kind}, timeout=60)
        assert answer.status_code in (200, 400)
        assert_in_words(answer)
        for photo in answer.json().get("photos", ()):
            assert photo["name"].isprintable()
            assert len(photo["name"]) <= 210
            assert "/" not in photo["name"]


@pytest.mark.parametrize("path", [
    "/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//evil.example/x", "/serve.js/../app.py", "/..%5capp.py",
    "/style.css%00.png", "/v1/photos/0", "/v1/predict/../models", "/" + "a" * 20_000, "/%ff%fe", "/\\", "/;a=b", "/*"])
def test_paths_lead_nowhere_else(attacked, path):
    answer = attacked.raw(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    assert re.match(rb"HTTP/1.1 40[04]", answer), answer[:300]
    assert b"root:" not in answer
    attacked.is_well()


@pytest.mark.parametrize("request_", [
    b"\0" * 1000, b"GET / HTTP/1.1\r\nA: " + b"b" * 200_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 20_000 + b"\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET\r\n\r\n",
    b"\x16\x03\x01" * 100, b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1e9\r\n\r\n",
    b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n0\r\n\r\n",
    b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"F" * 60 + b"\r\nabc",
    b"POST /v1/predict HTTP/1.1\r\nHost: [::1\r\n\r\n", b"POST /v1/predict HTTP/1.1\r\nHost: \xff\xff\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"])
def test_requests_that_are_none_get_a_status_of_400_or_are_closed(attacked, request_):
    answer = attacked.raw(request_)
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", answer)]
    assert all(status < 500 for status in statuses), answer[:300]
    attacked.is_well()


def test_uploads_that_are_broken_off_leave_nothing_behind(attacked):
    head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(PHOTO) + 100_000}\r\n\r\n".encode()
    for number in range(rounds(100, 2000)):
        with socket.create_connection(("127.0.0.1", attacked.port)) as client:
            client.sendall((head + PHOTO)[:1 + number * 37 % (len(head) + len(PHOTO))])
            if number % 2:  # a reset in place of an end
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    attacked.is_well()


def test_bodies_that_never_end_and_slow_clients_are_given_up_while_others_are_answered(attacked):
    """Some send nothing, some a byte of the headers at a time, some a body without end, quickly or slowly."""
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    slow = [(b"", b""), (b"GET / HT", b"T"), (b"GET / HTTP/1.1\r\nA: b\r\n", b"A: b\r\n"), (head, b"1\r\nx\r\n"),
            (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET / H", b"T")] * rounds(10, 60)
    clients = [socket.create_connection(("127.0.0.1", attacked.port)) for _ in slow]
    for client, (first, _) in zip(clients, slow, strict=True):
        client.sendall(first)
    closed: set[int] = set()
    for _ in range(300):
        with httpx2.Client(base_url=attacked.address, timeout=60) as quick:
            assert quick.post("/v1/predict", content=PHOTO).status_code == 200
        for place, (client, (_, more)) in enumerate(zip(clients, slow, strict=True)):
            if place in closed:
                continue
            client.settimeout(0)
            try:
                if more:
                    client.send(more)
                if client.recv(65536) == b"":
                    closed.add(place)
            except BlockingIOError:
                pass
            except OSError:
                closed.add(place)
        if len(closed) == len(clients):
            break
        time.sleep(0.1)
    for client in clients:
        client.close()
    assert len(closed) == len(clients), [slow[place] for place in range(len(slow)) if place not in closed]
    answer = attacked.raw(head + b"10000\r\n" + b"x" * 0x10000 + (b"\r\n10000\r\n" + b"x" * 0x10000) * (MEGABYTES * 17))
    assert not answer or answer.startswith(b"HTTP/1.1 413")
    attacked.is_well()
