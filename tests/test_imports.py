"""Every import of the package is read: which room may import which, what is loaded when, how the code is divided."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import matlens
from matlens.notebook.label_space import LABEL_SPACE

PACKAGE = Path(matlens.__file__).parent

ROOMS = ("errors", "types", "system", "models", "settings", "data", "features", "runs", "training", "workers",
         "evaluation", "explanation", "mapping", "robustness", "comparison", "report", "notebook", "jobs",
         "serving", "cli")
"""A module imports from the rooms before its own, and from its own (docs/architecture.md)."""

FRAMEWORKS = {"tensorflow": "models/keras", "keras": "models/keras", "torch": "models/torch",
              "torchvision": "models/torch", "timm": "models/torch", "safetensors": "models/torch"}
"""The folder that may import each."""

BACK_ENDS = "models/keras/backends"
"""What is particular to one of Keras' back ends; there alone its library is imported beside Keras."""

HEAVY = (*FRAMEWORKS, "openvino", "matplotlib", "seaborn", "sklearn", "scipy", "pandas", "h5py", "nncf", "cleanlab",
         "joblib", "kagglehub", "starlette", "uvicorn", "python_multipart", "fsspec", "s3fs", "aiohttp", "pyarrow",
         "ray")
"""Slow to import, so imported where they are used: inside of functions."""

ROOT_MODULES, FILES_IN_A_FOLDER, LINES_IN_A_FILE = 6, 14, 300


class Import(NamedTuple):
    """name: the module, and what is imported from it. when_loaded: as soon as the importing module is imported."""

    file: str
    line: int
    name: str
    when_loaded: bool
    for_types: bool

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line} imports {self.name}"


def _sources() -> dict[str, ast.Module]:
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
            for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def imports() -> tuple[Import, ...]:
    """Every import of every module, those inside of functions too."""
    return tuple(entry for file, tree in _sources().items() for entry in _walk(file, tree, True, False))


def _walk(file: str, node: ast.AST, when_loaded: bool, for_types: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            names = [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, f"{file}:{child.lineno}: imports within the package are absolute"
            names = [f"{child.module}.{alias.name}" for alias in child.names]
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typed = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            yield from _walk(file, child, when_loaded and not inside and not typed, for_types or typed)
            continue
        yield from (Import(file, child.lineno, name, when_loaded, for_types) for name in names)


def room_of(path: str) -> str:
    """The room of a file; `""` for the package's face, which belongs to none."""
    name = path.partition("/")[0].removesuffix(".py")
    return "" if name in ("__init__", "__main__") else name


def module_of(name: str) -> str | None:
    """The file of our package that a dotted name is, or lies in; None for others' packages."""
    first, *parts = name.split(".")
    if first != "matlens":
        return None
    for end in range(len(parts), -1, -1):
        stem = "/".join(parts[:end])
        for file in (f"{stem}.py", f"{stem}/__init__.py".lstrip("/")):
            if stem and (PACKAGE / file).is_file():
                return file
    return "__init__.py"


def test_a_module_imports_only_from_the_rooms_before_its_own() -> None:
    """The flow is total: what comes later knows what came before, and never the other way round."""
    upward = [entry.place for entry in imports() if room_of(entry.file) and (target := module_of(entry.name))
              and room_of(target) and ROOMS.index(room_of(target)) > ROOMS.index(room_of(entry.file))]
    assert not upward, "\n".join(upward)


def test_imports_are_found_wherever_they_stand() -> None:
    """Else the other tests would hold nothing: at the top, inside of functions, for types, of modules or of names."""
    code = ("import torch\nfrom matlens.runs.run import Run\nif TYPE_CHECKING:\n    from matlens import errors\n"
            "def f():\n    import matlens.cli.main as main\n")
    entries = list(_walk("x.py", ast.parse(code), True, False))
    assert [(entry.name, entry.when_loaded, entry.for_types) for entry in entries] == [
        ("torch", True, False), ("matlens.runs.run.Run", True, False), ("matlens.errors", False, True),
        ("matlens.cli.main", False, False)]
    assert [module_of(entry.name) for entry in entries] == [None, "runs/run.py", "errors.py", "cli/main.py"]
    assert [room_of(file) for file in ("errors.py", "data/split/splits.py", "__main__.py")] == ["errors", "data", ""]


def test_every_module_lies_in_a_room_of_the_order() -> None:
    """A new folder must say where in the flow it stands."""
    assert {room_of(file) for file in _sources()} == {"", *ROOMS}


def test_no_two_modules_import_each_other() -> None:
    """In no circle, however long, and not inside of functions either; types alone may look back within their room."""
    needs: dict[str, set[str]] = {file: set() for file in _sources()}
    for entry in imports():
        target = module_of(entry.name)
        if target and target not in ("__init__.py", entry.file) and not entry.for_types:
            needs[entry.file].add(target)
    circles, done = [], set()

    def visit(file: str, trail: tuple[str, ...]) -> None:
        if file in trail:
            circles.append(" -> ".join((*trail[trail.index(file):], file)))
        elif file not in done:
            for target in sorted(needs[file]):
                visit(target, (*trail, file))
            done.add(file)

    for file in needs:
        visit(file, ())
    assert not circles, "\n".join(circles)


def test_frameworks_are_imported_in_their_rooms_alone() -> None:
    """A framework outside of its room is loaded beside the other one, and one process holds only one of them."""
    wrong = []
    for entry in imports():
        library = entry.name.partition(".")[0]
        if library in FRAMEWORKS and not entry.file.startswith((f"{FRAMEWORKS[library]}/", f"{BACK_ENDS}/")):
            wrong.append(entry.place)
    assert not wrong, "\n".join(wrong)


def test_keras_back_ends_are_imported_in_their_own_folder_alone() -> None:
    """Everything else in the Keras room works on any of Keras' back ends."""
    wrong = [entry.place for entry in imports() if entry.file.startswith("models/keras/")
             and not entry.file.startswith(f"{BACK_ENDS}/") and entry.name.partition(".")[0] in ("tensorflow", "torch",
                                                                                                 "jax")]
    assert not wrong, "\n".join(wrong)


def test_heavy_packages_are_imported_inside_of_functions() -> None:
    """Who asks for help or mistypes an option does not wait for matplotlib."""
    wrong = [entry.place for entry in imports() if entry.when_loaded and entry.name.partition(".")[0] in HEAVY
             and not entry.file.startswith(tuple(f"{folder}/" for folder in set(FRAMEWORKS.values())))]
    assert not wrong, "\n".join(wrong)


def test_the_code_is_divided_into_small_files_and_folders() -> None:
    """What does not fit into a screen or two, or a folder of 14 files, wants to be divided."""
    sizes = {file: len((PACKAGE / file).read_text(encoding="utf-8").splitlines()) for file in _sources()}
    long = [f"{file}: {lines} lines" for file, lines in sizes.items() if lines > LINES_IN_A_FILE]
    folders = {folder: len(list(folder.glob("*.py"))) for folder in {(PACKAGE / file).parent for file in sizes}}
    full = [f"{folder.relative_to(PACKAGE)}/: {files} files" for folder, files in folders.items()
            if files > FILES_IN_A_FOLDER]
    assert folders[PACKAGE] <= ROOT_MODULES
    assert not long + full, "\n".join(long + full)


def test_a_class_has_its_name_alone() -> None:
    """Whoever reads a name must not ask which of two things it is."""
    files_by_name: dict[str, list[str]] = defaultdict(list)
    for file, tree in _sources().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                files_by_name[node.name].append(file)
    assert {name: files for name, files in files_by_name.items() if len(files) > 1} == {}


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
    assert not loaded_after(code) & {*HEAVY, "cv2"}


def test_a_refused_run_has_loaded_no_framework():
    """Who mistypes an option should not wait for TensorFlow to hear of it."""
    assert not loaded_after(called("run", "--data", "nowhere", "--img-size", "16")) & set(FRAMEWORKS)


def test_all_rooms_can_be_imported_without_a_framework():
    """Every module outside of the framework rooms, on a machine without TensorFlow and PyTorch."""
    names = [f"matlens.{file.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}" for file in _sources()
             if not file.startswith(("models/keras/", "models/torch/", "__"))]
    assert not loaded_after("\n".join(f"import {name}" for name in names)) & set(FRAMEWORKS)


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
