"""The first hour: the commands, options, functions, paths and pictures of README and tutorial are there, as written.

Commands that read photos or a finished run are run, on a small run of networks that know colours. Those that train
arrive at the job with the settings that they name; those that need a framework, or a network, are read to the end by
the command line.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
from PIL import Image

import matlens as package
from matlens.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "tutorial.md"]

TRAINING = ("run", "train", "demo")
READ_ONLY = (("data", "fetch"), ("rerun",), ("export",), ("serve",), ("review",))
"""These ask for a network connection, or a framework; or they serve until they are ended."""
SLOW = ("--robustness", "--faithfulness", "--galleries", "audit", "timm/")
"""A name of timm is looked up in a process that imports it."""


def code_lines(page: Path) -> list[str]:
    """The lines that are indented as code, without what stands beside a command to explain it."""
    lines = [line[4:] for line in page.read_text("utf-8").splitlines() if line.startswith("    ")]
    return [re.split(r"\s{2,}|\s#", line.strip())[0].lstrip("!") for line in lines]


def commands(of: str) -> list[Any]:
    """The lines of all pages that begin so, each once."""
    lines = dict.fromkeys(line for page in PAGES for line in code_lines(page) if line.startswith(of))
    slow = pytest.mark.slow
    return [pytest.param(line, marks=[slow] if any(word in line for word in SLOW) else []) for line in lines]


def options() -> list[Any]:
    """Lines that name options of `matlens run`."""
    return commands("--")


@pytest.fixture(scope="module")
def desk(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages speak of: photos, runs, a photo."""
    folder = tmp_path_factory.mktemp("desk")
    for run in ("first", "second", "strong"):
        shutil.copytree(small_run, folder / "runs" / run)
    for photo in (small_run.parent / "photos").glob("*/*/*.png"):
        part, name = photo.relative_to(small_run.parent / "photos").parts[:2]
        (folder / "photos" / name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, folder / "photos" / name / f"{part}_{photo.name}")
    shutil.copytree(folder / "photos" / "red", folder / "folder")
    shutil.copyfile(folder / "folder" / "test_0.png", folder / "photo.jpg")
    (folder / "weights").mkdir()
    for name in ("unlabelled", "test"):
        (folder / name).mkdir()
        for shade in range(60, 240, 30):
            Image.new("RGB", (24, 24), (shade, 40, 240 - shade)).save(folder / name / f"{shade}.png")
    (folder / "runs" / "first" / "corrections.csv").write_text("time,path,sha256,from,to,action\n")
    return folder


@pytest.fixture
def arrived(monkeypatch: pytest.MonkeyPatch, desk: Path) -> list[Any]:
    """The settings of jobs that would train. They are not begun."""
    settings: list[Any] = []

    def stop(given: Any, *others: object) -> None:
        settings.append(given)
        raise SystemExit(0)

    for place in ("jobs.run.run", "jobs.run.start", "jobs.demo.run", "jobs.series.run_series",
                  "jobs.cluster.run.run_on", "jobs.cluster.run.series_on"):
        monkeypatch.setattr(f"matlens.{place}", stop)
    monkeypatch.setattr("matlens.jobs.demo.draw_dataset", lambda *given, **named: None)
    monkeypatch.setattr("matlens.jobs.demo.shown_here", lambda weights_dir=None: ([], []))
    monkeypatch.chdir(desk)
    monkeypatch.setenv("MATLENS_CACHE", str(desk / "cache"))
    return settings


def read_by_command_line(words: list[str]) -> None:
    """Read a command to its end, as the command line does before it does anything. Raises what the user would see."""
    command, context = typer.main.get_command(app), None
    while isinstance(command, click.Group):
        context = click.Context(command, info_name=command.name, parent=context)
        name, found, words = command.resolve_command(context, words)
        command = found or pytest.fail(f"no command {name}")
    with command.make_context(command.name, list(words), parent=context):
        pass


@pytest.mark.parametrize("line", commands("matlens "))
def test_a_command_of_the_pages_does_as_written(line: str, arrived: list[Any], matlens: Callable[..., Any]) -> None:
    """Whoever pastes a command must not be told that there is no such option."""
    words = shlex.split(line)[1:]
    if any(tuple(words[:len(first)]) == first for first in READ_ONLY):
        read_by_command_line(words)
        return
    if words[:2] == ["data", "draw"]:
        words = [*words[:2], f"new-{words[2]}", *words[3:], "--photos", "1", "--size", "16"]
    code, _, said = matlens(*words)
    assert code == 0, said
    assert bool(arrived) == (words[0] in TRAINING), "a command that trains has arrived at its job, and no other"


@pytest.mark.parametrize("line", options())
def test_an_option_of_the_pages_is_one_of_run(line: str, arrived: list[Any], matlens: Callable[..., Any]) -> None:
    """In the README's list of options of `matlens run`."""
    code, _, said = matlens("run", "--data", "photos", *shlex.split(line))
    assert code == 0 or "MINC" in said, said
    assert arrived


@pytest.mark.parametrize("line", commands("make "))
def test_a_word_of_make_is_in_the_makefile(line: str) -> None:
    """make finds a way to do it; what it would do is not done."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(["make", "--dry-run", *shlex.split(line)[1:]], cwd=ROOT, text=True, capture_output=True,
                          check=False, env={**os.environ, "VENV": "/nowhere"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_calls_functions_as_they_are(page: Path) -> None:
    """Names are public, and arguments are those of the signatures."""
    blocks = [block for block in re.findall(r"(?:^    .*\n|^\n)+", page.read_text("utf-8"), re.MULTILINE)
              if re.search(r"^    (?:import|from) matlens", block, re.MULTILINE)]
    assert blocks
    for block in blocks:
        tree = ast.parse("\n".join(line[4:] for line in block.splitlines()))
        imported = {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            ours = isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") == "matlens"
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if ours or name in imported:
                inspect.signature(getattr(package, name)).bind(
                    *call.args, **{str(argument.arg): argument.value for argument in call.keywords})
        assert all(hasattr(package, name) for name in imported)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_of_a_page_are_there(page: Path) -> None:
    """In the project; addresses of others are not asked for."""
    places = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    lost = [place for place in places if "://" not in place and not (page.parent / place).exists()]
    assert places and not lost
