"""A store of objects and a web server on this machine, and photos to put there."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from remote_places import SECRET, Answers, Bucket, Heard, Web


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of three photos of 12 px, each of a colour of its own."""
    root = tmp_path_factory.mktemp("here") / "photos"
    for place, name in enumerate(("brick", "metal", "wood")):
        (root / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (12, 12), (80 * place, 60 * number, 99)).save(root / name / f"{name} {number}.png")
    return root


@pytest.fixture(scope="session")
def store() -> Iterator[tuple[Any, str]]:
    """moto's server of S3, in a thread; skips where it or s3fs is not installed."""
    for package in ("s3fs", "boto3", "flask"):
        pytest.importorskip(package, reason=f"{package} is not installed (pip install 'matlens[cloud]' and moto)")
    server_module = pytest.importorskip("moto.server", reason="moto is not installed")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield server, f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(store: tuple[Any, str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Bucket:
    """An empty bucket, and credentials for it in the environment."""
    import boto3

    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
        monkeypatch.delenv(name)
    for name, value in {"AWS_ENDPOINT_URL": store[1], "AWS_ACCESS_KEY_ID": "AKIATESTING",
                        "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1",
                        "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull,
                        "AWS_SHARED_CREDENTIALS_FILE": os.devnull}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=store[1])
    name = f"bucket-{abs(hash(request.node.name)) % 10**9}"
    client.create_bucket(Bucket=name)
    return Bucket(name, client, store[1])


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server on this machine, which fails as it is told; skips where aiohttp is not installed."""
    pytest.importorskip("aiohttp", reason="aiohttp is not installed (pip install 'matlens[cloud]')")
    about = Web()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OfThisTest", (Answers,), {"web": about}))
    server.daemon_threads = True
    about.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield about
    server.shutdown()
    server.server_close()
