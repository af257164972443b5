"""What an import costs, and that every stage can be imported without a framework."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import matlens
from matlens.notebook.label_space import LABEL_SPACE

FRAMEWORKS = ("tensorflow", "keras", "torch", "torchvision", "jax")
HEAVY = (*FRAMEWORKS, "openvino", "matplotlib", "seaborn", "sklearn", "pandas", "cv2")
PACKAGE = Path(matlens.__file__).parent


def loaded_after(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print('|', *sys.modules)"], text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("|")[2].split())


def called(*arguments: str) -> str:
    return (f"import sys; sys.argv = {['matlens', *arguments]}\nfrom matlens.cli.main import main\n"
            "try:\n    main()\nexcept SystemExit:\n    pass")


@pytest.mark.parametrize("code", [
    "import matlens; assert 'BATCH_SIZE' in dir(matlens)", "import matlens; matlens.BATCH_SIZE, matlens.IS_KAGGLE",
    "import matlens.cli.main", called("--help"), called("--version"), called("data", "split", "--help"),
    called("run", "--help")])
def test_asking_loads_nothing_heavy(code):
    """Help and a version are there at once, and where no framework is installed."""
    assert not loaded_after(code) & set(HEAVY)


def test_a_refused_run_has_loaded_no_framework():
    """Who mistypes an option should not wait for TensorFlow to hear of it."""
    assert not loaded_after(called("run", "--data", "nowhere", "--img-size", "16")) & set(FRAMEWORKS)


def test_the_data_stage_needs_no_framework():
    """Photos can be checked and divided on a machine without TensorFlow and PyTorch."""
    stages = [path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".")
              for path in sorted((PACKAGE / "data").glob("*.py"))]
    assert not loaded_after("\n".join(f"import {name}" for name in stages)) & set(FRAMEWORKS)


def test_frameworks_are_imported_in_their_rooms_only():
    """A framework outside its room would be loaded beside the other one, and they do not get on."""
    for path in PACKAGE.rglob("*.py"):
        rooms = {"keras": {"keras"}, "torch": {"torch", "torchvision"},
                 "backends": {"keras", "tensorflow", "torch", "jax"}}
        allowed = rooms.get(path.parent.name, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else (
                [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else [])
            wrong = {name.partition(".")[0] for name in names} & set(FRAMEWORKS) - allowed
            assert not wrong, f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', '?')} imports {wrong}"


def test_every_public_name_has_a_home_that_defines_it():
    """A lazy name that leads nowhere fails only at the user's."""
    assert set(matlens.__all__) == {"__version__", *matlens._HOME_OF} - set(LABEL_SPACE)
    assert len(matlens.__all__) == len(set(matlens.__all__))
    for name, home in matlens._HOME_OF.items():
        path = PACKAGE.joinpath(*home.split(".")[1:]).with_suffix(".py")
        if name.isupper():  # the guide's knobs are worked out when asked for
            module = importlib.import_module(home)
            assert name in (LABEL_SPACE if name in LABEL_SPACE else module.KNOBS)
            continue
        defined = {node.name for node in ast.parse(path.read_text(encoding="utf-8")).body
                   if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert name in defined, f"{name} is not defined in {path}"


def test_the_face_names_what_it_does_not_have():
    """hasattr, tab completion and star imports rely on AttributeError and on __all__."""
    assert set(dir(matlens)) == set(matlens.__all__)
    with pytest.raises(AttributeError, match="build_vgg20"):
        _ = matlens.build_vgg20
    with pytest.raises(ImportError):
        exec("from matlens import build_vgg20")
