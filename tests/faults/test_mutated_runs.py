"""Runs that a stranger, a disk or a mistake changed: each command ends, names what is wrong, and stays in the run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mutations import CANARY, mutate, write_outside

from attacks import at_once
from builders import tree_hash
from scale import rounds
from small_run import NAMES

Commands = dict[str, tuple[str | Path, ...]]


@pytest.fixture
def world(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the user's own files, beside which runs are put."""
    monkeypatch.setenv("MATLENS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small_run.parent / "photos", tmp_path / "photos")
    write_outside(tmp_path / "outside")
    return tmp_path


def put_run(world: Path, small_run: Path) -> Path:
    """Copy the small run, and let it find the photos beside it."""
    run = Path(shutil.copytree(small_run, world / "run"))
    content = json.loads((run / "run.json").read_text())
    content["data_root"] = content["settings"]["data_dir"] = str(world / "photos")
    (run / "run.json").write_text(json.dumps(content))
    return run


def commands_on(run: Path) -> Commands:
    """All that open a run without a framework; a repetition ends when the run was read, since its photos are gone."""
    photo = run.parent / "photos" / "test" / "blue" / "0.png"
    return {"evaluate": ("evaluate", run), "compare": ("compare", run), "labels": ("labels", run),
            "explain": ("explain", run), "gallery": ("explain", run, "--galleries"), "predict": ("predict", run, photo),
            "artifact": ("predict", run / "models" / f"{NAMES[0]}.artifact", photo),
            "explain artifact": ("explain", run, "--images", photo),
            "rerun": ("rerun", run, "--out", run.parent / "again", "--data", run.parent / "gone")}


def outside_of(world: Path) -> dict[str, str]:
    """Hash the user's own files."""
    return {name: tree_hash(world / name) for name in ("outside", "photos")}


def texts_in(run: Path) -> list[Path]:
    """Files of a run that hold the canary; the links that were put there do not count."""
    return [path for path in run.rglob("*") if path.is_file() and not path.is_symlink()
            and path.stat().st_size < 1 << 30 and path.stat().st_nlink == 1 and CANARY.encode() in path.read_bytes()]


@pytest.mark.attacks
@pytest.mark.slow
@pytest.mark.parametrize("number", range(rounds(12, 500)))
def test_a_changed_run_harms_nobody(world: Path, small_run: Path, matlens: Callable[..., tuple[int, str, str]],
                                    number: int) -> None:
    """No defect, nothing that never ends, no file outside changed, and none shown."""
    rng = np.random.default_rng([41, number])
    run = put_run(world, small_run)
    changed = mutate(run, world / "outside", rng)
    before, planted = outside_of(world), set(texts_in(run))
    commands = commands_on(run)
    for name in rng.permutation(sorted(commands))[:3]:
        with at_once(300):
            code, out, err = matlens(*commands[name])
        assert "has a defect" not in err and "Traceback" not in err, (changed, name, err)
        assert code in (0, 2), (changed, name, err)
        assert CANARY not in out, (changed, name)
    assert outside_of(world) == before, changed
    assert set(texts_in(run)) <= planted, changed
    assert not (world / "again").exists()
    assert not [path for path in world.iterdir() if ".partial" in path.name]
