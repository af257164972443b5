"""Change the folder of a run in the ways in which a stranger, a disk or a mistake changes one."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator

CANARY = "canary-7f3a91"
"""Stands in every file outside; it must not come into the run."""

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 3, 1.5, 1e308, 10**30, "", "x", "x" * 5000, "\x1b[2J", "../../outside", "/etc/passwd", "<b>",
    [], {}, [1], ["x"], [[1]], {"x": 1}, [None], "OUTSIDE")
"""Of JSON; OUTSIDE stands for the path of a file outside."""


def write_outside(folder: Path) -> Path:
    """Files of the user's that a link or a path may lead to."""
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"settings": CANARY, "data_root": CANARY}))
    (folder / "groups.toml").write_text(f'[groups]\n"{CANARY}" = ["blue", "green"]\n')
    (folder / "photos.csv").write_text(f"{CANARY},1\n")
    (folder / "notes.txt").write_text(f"{CANARY}\n")
    for name in ("models", "reports", "logs", "locks", "pixels"):
        (folder / name).mkdir()
        (folder / name / "mobilenetv2_transfer.log").write_text(f"{CANARY}\n")
    return folder


def chosen(rng: Rng, paths: list[Path]) -> Path:
    return paths[int(rng.integers(len(paths)))]


def files_of(run: Path, suffix: str = "") -> list[Path]:
    return sorted(path for path in run.rglob(f"*{suffix}") if path.is_file() and not path.is_symlink())


def places_of(run: Path) -> list[Path]:
    return sorted(path for path in run.rglob("*") if not path.is_symlink())


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def change_bytes(run: Path, outside: Path, rng: Rng) -> str:
    path = chosen(rng, files_of(run))
    content = bytearray(path.read_bytes())
    kind = int(rng.integers(4))
    if kind == 0 and content:
        for place in rng.integers(len(content), size=int(rng.integers(1, 20))):
            content[place] = int(rng.integers(256))
    elif kind == 1:
        content = content[:int(rng.integers(len(content) + 1))]
    elif kind == 2:
        content += rng.bytes(int(rng.integers(1, 5000)))
    else:
        content = bytearray(rng.bytes(int(rng.integers(2000))))
    path.write_bytes(bytes(content))
    return f"bytes of {path.name}"


def change_json(run: Path, outside: Path, rng: Rng) -> str:
    path = chosen(rng, files_of(run, ".json"))
    try:
        content = json.loads(path.read_text())
    except ValueError:
        return change_bytes(run, outside, rng)
    node: Any = content
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
        if not keys:
            return f"nothing in {path.name}"
        key = keys[int(rng.integers(len(keys)))]
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.4:
            break
        node = node[key]
    kind, value = int(rng.integers(6)), VALUES[int(rng.integers(len(VALUES)))]
    if value == "OUTSIDE":
        value = str(chosen(rng, [outside, *sorted(outside.iterdir())]))
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, list):
        node.extend([node[key]] * int(rng.integers(1, 5)))
    elif kind == 2 and isinstance(node, dict):
        node[str(value)[:50]] = value
    else:
        node[key] = value
    path.write_text(json.dumps(content))
    if kind == 5:
        path.write_text(path.read_text().replace("0", str(chosen_text(rng)), 1))
    return f"{path.name}: {key} = {str(value)[:30]} ({kind})"


def chosen_text(rng: Rng) -> str:
    texts = ("NaN", "Infinity", "-1e999", "1" * 5000, "[" * 300 + "]" * 300, '{"a":' * 200 + "1" + "}" * 200)
    return texts[int(rng.integers(len(texts)))]


def change_place(run: Path, outside: Path, rng: Rng) -> str:
    """A setting or a name that says where something is leads outside."""
    path = run / "run.json"
    try:
        content = json.loads(path.read_text())
        settings = content["settings"]
        key = ("cache_dir", "weights_dir", "material_groups", "groups", "data_dir", "output_dir",
               "data_root")[int(rng.integers(7))]
        place = str(chosen(rng, [outside, *sorted(outside.iterdir())]))
        (content if key == "data_root" else settings)[key] = place
        settings["cache_limit"] = 0
        path.write_text(json.dumps(content))
    except (OSError, ValueError, TypeError, KeyError):
        return change_bytes(run, outside, rng)
    return f"run.json: {key} = {place}"


def change_arrays(run: Path, outside: Path, rng: Rng) -> str:
    paths = files_of(run, ".npz")
    if not paths:
        return change_bytes(run, outside, rng)
    path = chosen(rng, paths)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, KeyError, EOFError):
        return change_bytes(run, outside, rng)
    name = list(arrays)[int(rng.integers(len(arrays)))]
    array = arrays[name]
    others = [array[:-1] if array.ndim else array, array[None], array.astype(np.str_), np.zeros((0,), np.float32),
              np.full(array.shape, np.nan, np.float32), np.full(array.shape, -5, np.int64), np.asarray(array).T,
              np.concatenate([array, array]) if array.ndim else array, np.full(array.shape, 2**62, np.int64)]
    arrays[name] = others[int(rng.integers(len(others)))]
    if rng.random() < 0.1:
        del arrays[name]
    written = BytesIO()
    np.savez(written, **arrays)
    path.write_bytes(written.getvalue())
    return f"{path.name}: {name}"


def change_kind(run: Path, outside: Path, rng: Rng) -> str:
    """Another kind of thing lies in the place of a file or a folder."""
    path, kind = chosen(rng, places_of(run)), int(rng.integers(9))
    theirs = chosen(rng, [outside, *sorted(path for path in outside.rglob("*"))])
    was_folder = path.is_dir()
    remove(path)
    targets = {0: theirs, 1: outside / "missing", 2: path, 3: Path(".."), 4: Path("/dev/zero"), 5: run / "split.json"}
    if kind in targets:
        path.symlink_to(targets[kind])
        return f"{path.relative_to(run)} is a link to {targets[kind]}"
    if kind == 6:
        os.mkfifo(path)
    elif kind == 7:
        (path.write_bytes if was_folder else lambda _: path.mkdir())(b"x")
    elif not was_folder:
        os.link(outside / "notes.txt", path)
    return f"{path.relative_to(run)} is of another kind ({kind})"


def change_size(run: Path, outside: Path, rng: Rng) -> str:
    path = chosen(rng, files_of(run))
    os.truncate(path, int(rng.choice([0, 1, 5 << 30, 60 << 30])))
    return f"{path.name} is of another size"


def double(run: Path, outside: Path, rng: Rng) -> str:
    """A file lies in the place of another one."""
    source, target = chosen(rng, files_of(run)), chosen(rng, files_of(run))
    if source != target:
        shutil.copyfile(source, target)
    return f"{source.name} in place of {target.name}"


def leave_out(run: Path, outside: Path, rng: Rng) -> str:
    path = chosen(rng, places_of(run))
    remove(path)
    return f"{path.name} is missing"


MUTATIONS: tuple[Callable[[Path, Path, Rng], str], ...] = (
    change_bytes, change_json, change_json, change_json, change_place, change_arrays, change_kind, change_kind,
    change_size, double, leave_out)


def mutate(run: Path, outside: Path, rng: Rng) -> list[str]:
    """Change a run in one to three ways. Returns them in words."""
    done = []
    for _ in range(int(rng.integers(1, 4))):
        if files_of(run):
            done.append(MUTATIONS[int(rng.integers(len(MUTATIONS)))](run, outside, rng))
    return done
