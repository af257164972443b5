"""The pinned files and the ranges of pyproject.toml agree: what the light file lacks breaks the demo."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LIGHT, ALL = ROOT / "requirements" / "light.txt", ROOT / "requirements.txt"


def pinned(file: Path) -> dict[str, str]:
    """Version by name, with those of the files that it includes; of lines for other systems too."""
    versions: dict[str, str] = {}
    for line in file.read_text("utf-8").splitlines():
        if line.startswith("-r "):
            versions |= pinned(file.parent / line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            requirement = Requirement(line)
            (pin,) = requirement.specifier
            assert pin.operator == "==", line
            assert canonicalize_name(requirement.name) not in versions, f"{line} is said twice"
            versions[canonicalize_name(requirement.name)] = pin.version
    return versions


def wanted(*extras: str) -> list[Requirement]:
    """The ranges of the project itself and of some extras."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize(("file", "extras"), [
    (LIGHT, ["keras"]), (ALL, ["keras", "torch", "int8", "kaggle", "serve", "weights", "cloud", "ray"])],
    ids=["light", "all"])
def test_pins_have_all_that_the_project_needs_within_its_ranges(file, extras):
    """An environment that lacks a package fails at the first import, after minutes of installing."""
    versions = pinned(file)
    for requirement in wanted(*extras):
        name = canonicalize_name(requirement.name)
        assert name in versions, f"{file.name} lacks {name}"
        assert requirement.specifier.contains(versions[name]), f"{name} {versions[name]} is not {requirement.specifier}"


def test_the_light_environment_has_neither_pytorch_nor_cuda():
    """They are what makes 8 GB of 2."""
    assert not {"torch", "torchvision", "timm", "nncf"} & pinned(LIGHT).keys()
    assert pinned(LIGHT).items() <= pinned(ALL).items()


@pytest.fixture(scope="module")
def install():
    spec = importlib.util.spec_from_file_location("install", ROOT / "tools" / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("version", "is_wrong"), [
    ((3, 10), True), ((3, 11), False), ((3, 13), False), ((3, 14), True)])
def test_a_python_that_is_too_old_or_too_new_is_refused_before_anything_is_fetched(install, version, is_wrong):
    """pip would say so after some minutes."""
    said = install.wrong_python((ROOT / "pyproject.toml").read_text("utf-8"), version)
    assert bool(said) == is_wrong
    assert not is_wrong or re.search(r"make demo PYTHON=python3\.11", said)


@pytest.mark.parametrize(("line", "size"), [
    ("  Downloading tensorflow_cpu-2.21.0-cp311-cp311-manylinux_2_17_x86_64.whl (245.1 MB)\n", 245.1),
    ("  Using cached six-1.17.0-py2.py3-none-any.whl (11 kB)\n", 0.011)])
def test_pips_lines_are_understood(install, line, size):
    """Sizes that are shown are those that pip names."""
    match = install._FILE.match(line)
    assert match and install._size(match) == pytest.approx(size)


def test_where_pip_fails_its_last_lines_are_shown(install, tmp_path, capsys):
    """Whoever waited must see why."""
    (tmp_path / "wrong.txt").write_text("no such package at all == 1\n")
    assert install.with_pip(Path(sys.executable), tmp_path / "wrong.txt", install.Lines()) != 0
    assert "no such package" in capsys.readouterr().out
