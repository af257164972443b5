"""Every option of every command, with values that no option should have: no defect, no traceback, no waiting."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from attacks import at_once
from matlens.cli import main as command_line
from matlens.cli.options import with_options
from matlens.errors import DataError, WorkerError
from matlens.system.transport import ChildProcess
from scale import rounds

pytestmark = pytest.mark.attacks

ROOT = command_line.app.info.cls
GROUPS = {(): ROOT, **{(name,): module.app.info.cls for name in ROOT.names
                       if hasattr(module := ROOT.module_of(name), "app")}}
COMMANDS = [(*above, name) for above, group in GROUPS.items() for name in group.names if (*above, name) not in GROUPS]


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(60 << 30)


def no_file(path: Path) -> None:
    pass


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo, "a folder": Path.mkdir, "missing": no_file, "a loop": lambda path: path.symlink_to(path),
    "empty": Path.touch, "binary": lambda path: path.write_bytes(bytes(range(256)) * 9), "sparse": sparse,
    "a device": lambda path: path.symlink_to("/dev/zero"), "below a file": Path.touch, "a socket": unix_socket,
    "deep TOML": lambda path: path.write_text("x = " + "[" * 100_000),
    "hex": lambda path: path.write_text("seed = 0x" + "f" * 9000),
    "NaN": lambda path: path.write_text("cache_limit = nan"),
    "UTF-16": lambda path: path.write_text("seed = 1", "utf-16"),
    "many keys": lambda path: path.write_text("".join(f"x{number} = 1\n" for number in range(10_000))),
    "NUL": lambda path: path.write_text('data_dir = "a\\u0000b"\ncache_dir = ""\nweights_dir = "~nobody/x"')}
WORDS = ("", "\udcff", "x" * 5000, "\x1b[2J\n[red]", "(a", "(((((a)*)*)*)*)b", "a\0b", "~nobody/x", "nan", "inf", "-1",
         "0", "9" * 5000, "1e400", "0x10", "9" * 30, "-", "--", "..", "/proc/self/mem", "/dev/full", ",", "a=b=c",
         "é" * 200)
VALUES = (*FILES, *WORDS)


def function_of(command: tuple[str, ...]) -> Any:
    return with_options(getattr(GROUPS[command[:-1]].module_of(command[-1]), command[-1]))


def parameters_of(command: tuple[str, ...]) -> list[Any]:
    """The command's own options and arguments, as its library knows them; not its switches."""
    alone = typer.Typer(add_completion=False)
    alone.command()(function_of(command))
    return [parameter for parameter in typer.main.get_command(alone).params
            if parameter.name != "help" and not getattr(parameter, "is_flag", False)]


CASES = [(command, parameter.name, value) for command in COMMANDS for parameter in parameters_of(command)
         for value in VALUES]
NUMBER = rounds(60, len(CASES))
CHOSEN = sorted(np.random.default_rng(5).permutation(len(CASES))[:NUMBER])


def words_of(command: tuple[str, ...], name: str, value: str, valid: dict[str, str]) -> list[str]:
    """A command line in which one parameter has the value, and those that must be given have one in order."""
    options, arguments = [], []
    for parameter in parameters_of(command):
        if parameter.name == name or parameter.required or parameter.name in ("weights", "models", "out"):
            given = value if parameter.name == name else valid[parameter.name]
            if parameter.param_type_name == "argument":
                arguments.append(given)
            else:
                options.append(f"{parameter.opts[0]}={given}")
    return [*command, *options, "--", *arguments]


@pytest.fixture
def valid(drawn: Path, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Values in order. Nothing is trained, downloaded or drawn, and no child process is started."""
    def refuse(*_: object, **__: object) -> None:
        raise DataError("as far as this test goes")

    def no_child(*_: object) -> None:
        raise WorkerError("no child processes in this test")

    for place in ("matlens.jobs.run.train", "matlens.training.train.train", "matlens.jobs.demo.run_demo",
                  "matlens.data.source.fetch.download", "matlens.data.source.kaggle.fetch_from_kaggle",
                  "matlens.data.drawn.synthetic.draw_dataset", "matlens.robustness.curves.measure",
                  "matlens.serving.server.serve"):
        monkeypatch.setattr(place, refuse, raising=False)
    monkeypatch.setattr(ChildProcess, "run", no_child)
    monkeypatch.setenv("MATLENS_CACHE", str(tmp_path / "cache"))
    for name in ("MATLENS_CONFIG", "MATLENS_DATA"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run = str(shutil.copytree(small_run, tmp_path / "run"))
    photo = str(next((drawn / "sky").iterdir()))
    return {"folder": str(drawn), "data_dir": str(drawn), "run": run, "runs": run, "images": photo, "name": "minc-2500",
            "model": "mobilenetv2_transfer", "models": "mobilenetv2_transfer", "weights": "none", "out": "out.png"}


@pytest.mark.parametrize("number", CHOSEN)
def test_no_value_of_an_option_is_a_defect(number: int, valid: dict[str, str], tmp_path: Path, capsys,
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever stands there, one message names what to mend, and it comes at once."""
    command, name, value = CASES[number]
    if value in FILES:
        place = tmp_path / os.fsdecode(b"odd \xff.name")
        FILES[value](place)
        given = str(place / "x" if value == "below a file" else place)
    else:
        given = value
    if command != ("run",) and command != ("train",) and name not in ("weights", "models"):
        valid = {**valid, "models": "red"} if "models" in [p.name for p in parameters_of(command)] else valid
    monkeypatch.setattr("sys.argv", ["matlens", *words_of(command, name, given, valid)])
    with at_once(), pytest.raises(SystemExit) as stopped:
        command_line.main()
    said = "".join(capsys.readouterr())
    assert "defect" not in said and "Traceback" not in said, said[-2000:]
    assert stopped.value.code in (None, 0, 1, 2, 3)
    assert not stopped.value.code or len(said) < 20_000, said[:2000]
