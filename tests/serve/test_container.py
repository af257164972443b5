"""The Containerfile, as far as it can be tried without a registry of images.

What it copies is there, its command is run by this interpreter with no package in reach but those that it installs, and
what is loaded by then is written down.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
import typer.main
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from matlens.cli.main import app
from serve.served import photo_of
from serve.test_process import free_port
from test_requirements import ALL, ROOT, pinned

FILE = ROOT / "Containerfile"
LISTED = ROOT / "requirements" / "serve.txt"
HEAVY = {"tensorflow", "keras", "torch", "torchvision", "timm", "sklearn", "matplotlib", "seaborn", "pandas", "scipy",
         "cleanlab", "nncf", "h5py", "joblib"}
TOKEN = "a-token-of-the-test"

SITE = """
import atexit, json, os, sys
lacking = set(json.loads(os.environ["TEST_LACKING"]))
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in lacking:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Lacking())
@atexit.register
def tell():
    if file := os.environ.pop("TEST_LOADED", None):
        with open(file, "w") as out:
            json.dump(sorted({name.partition(".")[0] for name in sys.modules}), out)
"""


def instructions() -> list[tuple[str, str]]:
    """(name, arguments) of the file, continued lines joined."""
    lines = [line for line in FILE.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def the(name: str) -> str:
    (found,) = [rest for kind, rest in instructions() if kind == name]
    return found


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """As in the container: nothing of another package than those that are listed, and no home folder."""
    listed = set(pinned(LISTED))
    lacking = [top for top, names in importlib.metadata.packages_distributions().items()
               if top != "matlens" and not {canonicalize_name(name) for name in names} & listed]
    (tmp_path / "sitecustomize.py").write_text(SITE)
    assert HEAVY & set(lacking), "else nothing would be proven"
    return {"PATH": os.environ["PATH"], "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'src'}",
            "HOME": str(tmp_path / "no-home"), "TEST_LACKING": json.dumps(lacking), **more}


def test_what_is_copied_is_there_before_it_is_used_and_nothing_else_goes_along():
    copied, ignored = [], (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in ignored
    for kind, rest in instructions():
        if kind == "COPY":
            source, target = rest.split()
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, source
            copied.append(target)
        if kind == "RUN" and "--requirement" in rest:
            assert rest.split("--requirement ")[1].split()[0] in copied
            assert "--no-deps" in rest
    assert the("USER") not in ("root", "0")
    assert str(the("USER")) in " ".join(rest for kind, rest in instructions() if kind == "RUN")
    assert json.loads(the("VOLUME"))[0] in json.loads(the("CMD"))
    assert "TOKEN" not in "".join(rest for kind, rest in instructions() if kind in ("ENV", "ARG"))


def test_pins_are_those_that_are_tested_and_hold_all_that_their_packages_need():
    """They are installed without looking for dependencies, so one that is missing fails at a user's."""
    versions, tested = pinned(LISTED), pinned(ALL)
    assert {name: version for name, version in versions.items() if tested.get(name, version) != version} == {}
    for name, version in versions.items():
        assert importlib.metadata.version(name) == version
        for line in importlib.metadata.requires(name) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in versions, f"{name} needs {line}"
                assert needed.specifier.contains(versions[canonicalize_name(needed.name)], prereleases=True), line


def test_the_command_is_one_of_the_command_line():
    python, *words = [*json.loads(the("ENTRYPOINT")), *json.loads(the("CMD"))]
    assert (python, words[:3]) == ("python", ["-m", "matlens", "serve"])
    command = typer.main.get_command(app)
    with command.make_context("matlens", words[2:]) as context:
        name, serve, rest = command.resolve_command(context, words[2:])
        asked = serve.make_context(name, rest, parent=context).params
    assert (asked["runs"], asked["host"], asked["port"]) == ([Path(words[3])], "0.0.0.0", int(the("EXPOSE")))


def test_without_a_token_the_container_does_not_start(small_run, tmp_path):
    words = [word.replace("/srv/run", str(small_run)) for word in json.loads(the("CMD"))]
    done = subprocess.run([sys.executable, *json.loads(the("ENTRYPOINT"))[1:], *words], env=environment(tmp_path),
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "--token" in done.stderr


@pytest.mark.parametrize("of_run", [True, False], ids=["run", "artifact"])
def test_it_answers_photos_with_the_listed_packages_alone_and_ends_on_sigterm(small_run, tmp_path, of_run):
    place = small_run if of_run else small_run / "models" / "mobilenetv2_transfer.artifact"
    words, port = [word.replace("/srv/run", str(place)) for word in json.loads(the("CMD"))], free_port()
    loaded = tmp_path / "loaded.json"
    server = subprocess.Popen(
        [sys.executable, *json.loads(the("ENTRYPOINT"))[1:], *words, "--port", str(port)],
        env=environment(tmp_path, MATLENS_TOKEN=TOKEN, TEST_LOADED=str(loaded)), cwd=tmp_path, stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            with suppress(URLError, ConnectionError):
                if urlopen(f"{address}/readyz").status == 200:
                    break
            if server.poll() is not None:
                pytest.fail(server.stderr.read().decode()[-2000:])
            time.sleep(0.1)
        healthy = json.loads(the("HEALTHCHECK").partition("CMD ")[2])
        assert subprocess.run([sys.executable, *[word.replace("8000", str(port)) for word in healthy[1:]]],
                              check=False).returncode == 0
        with pytest.raises(HTTPError, match="401"):
            urlopen(Request(f"{address}/v1/predict", photo_of("red")))
        for path in ("predict", "explain", "nearest", "map"):
            asked = Request(f"{address}/v1/{path}", photo_of("red"), {"Authorization": f"Bearer {TOKEN}"})
            assert b"mobilenetv2_transfer" in urlopen(asked).read()
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0
    finally:
        server.kill()
        server.communicate()
    modules = set(json.loads(loaded.read_text()))
    assert "starlette" in modules
    assert not modules & HEAVY
    assert not (tmp_path / "no-home").exists(), "nothing is written beside the run"


def test_a_health_check_fails_where_nothing_answers():
    healthy = json.loads(the("HEALTHCHECK").partition("CMD ")[2])
    words = [word.replace("8000", str(free_port())) for word in healthy[1:]]
    assert subprocess.run([sys.executable, *words], capture_output=True, check=False).returncode != 0
