"""`matlens serve` as a process: the examples of the documentation, refusals at the start, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import httpx2
import pytest

from matlens.errors import ModelError, RunError, SettingsError, UsageError
from matlens.serving.app import make_app
from matlens.serving.engine import AnsweringEngine
from matlens.serving.limits import ServerLimits
from matlens.serving.metrics import Metrics
from matlens.serving.models import open_models
from matlens.serving.server import listening, refuse_open_door
from matlens.system.files import checksum
from serve.served import photo_of
from small_run import NAMES

DOCS = (Path(__file__).parents[2] / "docs" / "serve.md").read_text("utf-8")
FRAMEWORKS = ("tensorflow", "keras", "torch")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def served(run: Path, out: Path, err: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server's address and its process, once it is ready. err: also names all modules that it imported."""
    port = free_port()
    with out.open("wb") as said, err.open("wb") as told:  # a pipe that nobody reads would stop it
        server = subprocess.Popen([sys.executable, "-X", "importtime", "-m", "matlens", "serve", str(run), "--port",
                                   str(port)], stdout=said, stderr=told)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(3000):
            with contextlib.suppress(URLError, ConnectionError):
                if urlopen(f"{address}/readyz").status == 200:
                    break
            assert server.poll() is None, err.read_text("utf-8")[-2000:]
            time.sleep(0.1)
        yield address, server
    finally:
        server.kill()
        server.wait()


def test_the_documented_examples_work_and_a_signal_waits_for_what_is_under_way(small_run, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(photo_of("red"))
    shell, python = (re.search(rf"```{kind}\n(.*?)```", DOCS, re.DOTALL).group(1) for kind in ("sh", "python"))
    out, err = tmp_path / "out", tmp_path / "err"
    with served(small_run, out, err) as (address, server):
        def local(example: str) -> str:
            return example.replace("http://127.0.0.1:8000", address)

        if shutil.which("curl"):
            said = subprocess.run(local(shell), shell=True, cwd=tmp_path, text=True, capture_output=True,
                                  check=True).stdout
            assert said.count('"class":"red"') >= 2
        said = subprocess.run([sys.executable, "-c", local(python)], cwd=tmp_path, text=True, capture_output=True,
                              check=True).stdout
        assert said.startswith("red 0.9")
        body = photo_of("blue")
        port = int(address.rpartition(":")[2])
        upload = (f"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n\r\n"
                  ).encode()
        long_header = b"GET / HTTP/1.1\r\nA: " + b"b" * 200_000 + b"\r\n\r\n"
        for junk in (b"\0" * 100 + b"\r\n\r\n", long_header, upload + body[:50]):
            with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)) as rude:
                rude.sendall(junk)
                if not junk.startswith(b"POST"):  # an upload is broken off instead
                    assert rude.recv(65536).startswith(b"HTTP/1.1 4")
        assert urlopen(f"{address}/healthz").status == 200
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(upload + body[:50])
            time.sleep(0.5)
            server.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            slow.sendall(body[50:])
            answer = b"".join(iter(lambda: slow.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"class":"blue"' in answer
        assert server.wait(timeout=120) == 0
    assert address in out.read_text("utf-8")
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in err.read_text("utf-8").splitlines()
              if "import time" in line}
    assert "starlette" in loaded
    assert not loaded & set(FRAMEWORKS)


def test_an_answer_is_sent_at_once():
    """Without TCP_NODELAY its body waited for the client to confirm its head: 44 ms of each answer, 6 being work."""
    with listening("127.0.0.1", free_port()) as bound:
        bound.listen()
        connected = []

        async def serve_one() -> None:
            done = asyncio.Event()

            class Protocol(asyncio.Protocol):
                def connection_made(self, transport):
                    own = transport.get_extra_info("socket")
                    connected.append(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                    done.set()

            server = await asyncio.get_running_loop().create_server(Protocol, sock=bound)
            with socket.create_connection(bound.getsockname()):
                await done.wait()
            server.close()

        asyncio.run(serve_one())
        assert connected == [1]


def test_a_port_in_use_is_named_with_another_one():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"{port}.*--port {port + 1}"):
            listening("127.0.0.1", port)
    with pytest.raises(UsageError, match=r"203\.0\.113\.7|no\.such\.host"):
        listening("203.0.113.7", free_port())


@pytest.mark.parametrize(("host", "token", "word"), [
    ("0.0.0.0", None, "openssl"), ("192.168.1.5", None, "--token"), ("::", None, "--token"),
    ("127.0.0.1", "short", "8")])
def test_no_door_is_open_without_a_token(host, token, word):
    with pytest.raises(SettingsError, match=word):
        refuse_open_door(host, token)
    for fine in (("127.0.0.1", None), ("localhost", None), ("::1", None), ("0.0.0.0", "0123456789abcdef")):
        refuse_open_door(*fine)


def test_what_is_no_run_or_has_no_artifact_is_refused_and_one_that_is_damaged_is_left_out(small_run, tmp_path):
    with pytest.raises(RunError, match=str(tmp_path)):
        open_models([tmp_path], print)
    run, warnings = tmp_path / "run", []
    shutil.copytree(small_run, run)
    first, second = sorted((run / "models").glob("*.artifact"))
    (first / "head.npz").write_bytes(b"damaged")
    assert len(open_models([run], warnings.append)) == 1
    assert str(first) in warnings[0]
    shutil.rmtree(second)
    with pytest.raises(ModelError, match=r"matlens export"):
        open_models([run], print)
    for record in (run / "reports").glob("*_training.json"):
        record.unlink()
    with pytest.raises(RunError, match=r"matlens run"):
        open_models([run], print)


def test_a_server_takes_artifacts_and_several_runs_under_names_of_their_own(small_run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(small_run, other)
    artifact = next((other / "models").glob("*.artifact"))
    names = [model.name for model in open_models([small_run, other, artifact], print)]
    assert len(set(names)) == 5
    assert os.sep in names[0]
    assert open_models([artifact], print)[0].name == artifact.stem


def test_the_server_listens_before_networks_are_compiled_and_says_so(small_run):
    """Whoever starts it asks /readyz; photos that are sent meanwhile wait, and are answered."""
    models = open_models([small_run], print)
    compiling, going_on = threading.Event(), threading.Event()

    class Slow:
        def __getattr__(self, name):
            return getattr(models[0], name)

        def warm_up(self):
            compiling.set()
            assert going_on.wait(60)

    async def main() -> tuple[list[int], list[int]]:
        engine = AnsweringEngine([Slow(), models[1]], ServerLimits(), Metrics())
        transport = httpx2.ASGITransport(make_app(engine))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            engine.begin()
            await asyncio.to_thread(compiling.wait, 60)
            before = [(await client.get(path)).status_code for path in ("/healthz", "/readyz", "/", "/v1/models")]
            photo = asyncio.create_task(client.post("/v1/predict", content=photo_of("red"), timeout=60))
            await asyncio.sleep(0.05)
            assert not photo.done()
            going_on.set()
            await engine.start()
            after = [(await photo).status_code, (await client.get("/readyz")).status_code]
        await engine.stop()
        return before, after

    assert asyncio.run(main()) == ([200, 503, 200, 200], [200, 200])


def test_a_network_that_cannot_be_compiled_ends_the_server_with_its_reason(small_run, tmp_path):
    artifact = Path(shutil.copytree(small_run / "models" / f"{NAMES[0]}.artifact", tmp_path / "broken.artifact"))
    (artifact / "trunk.xml").write_text("<net name='broken' version='11'><layers/></net>")
    about = json.loads((artifact / "artifact.json").read_text())
    about["sha256"]["trunk.xml"] = checksum(artifact / "trunk.xml")
    del about["seal"]
    (artifact / "artifact.json").write_text(json.dumps(about))
    done = subprocess.run([sys.executable, "-m", "matlens", "serve", str(artifact), "--port", str(free_port())],
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    assert "trunk.xml" in done.stderr
    assert "Traceback" not in done.stderr
