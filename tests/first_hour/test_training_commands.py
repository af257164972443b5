"""The commands of README and tutorial that train, fetch or repeat are run to their end, one after the other.

Stand-ins keep that cheap: a few drawn photos, an archive in a file, and in place of the networks one of three
convolutions, trained for an epoch in this process. What a line says besides stays as it is written.
"""

from __future__ import annotations

import hashlib
import importlib
import re
import shlex
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from test_commands_of_docs import PAGES, code_lines

from in_process import InProcess
from matlens.data.drawn.synthetic import draw_dataset
from matlens.system.files import checksum

pytestmark = [pytest.mark.torch, pytest.mark.slow]

STAND_INS = ("--models", "acme/tiny", "--weights", "none", "--epochs", "1", "--img-size", "32", "--batch-size", "32")
LEFT_OUT = ("--protocol minc:3", "--protocol kfold:5", "--protocol random", "--seeds 5", "--device auto", "--int8",
            "s3://")
"""What other lines do, too, on other splits or devices or once more; what asks for another extra, or for a network."""

BEGINNINGS = ("data fetch", "run", "train", "rerun", "export")


def lines() -> list[str]:
    """The lines of both pages that begin so, each once."""
    written = dict.fromkeys(line for page in PAGES for line in code_lines(page)
                            if line.startswith(tuple(f"matlens {words} " for words in BEGINNINGS)))
    return [line for line in written if not any(words in line for words in LEFT_OUT) and "kaggle" not in line
            and "--config" not in line]


@pytest.fixture(scope="module")
def desk(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, and the archive of a dataset with two official splits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[1] / "plugins"))
        importlib.import_module("tiny_torch")  # registers the network
    for name in ("matplotlib.pyplot", "pandas", "sklearn"):  # which a job would do without, and spare for good
        importlib.import_module(name)
    folder = tmp_path_factory.mktemp("desk")
    draw_dataset(folder / "photos", photos_per_class=10, size=32, seed=1, materials=("brick", "sky", "wood"))
    images = draw_dataset(folder / "packed" / "images", photos_per_class=8, size=32, seed=2, materials=("brick", "sky"))
    (images / "drawn-by-matlens.txt").unlink()
    (folder / "packed" / "labels").mkdir()
    paths = sorted(path.relative_to(folder / "packed").as_posix() for path in images.rglob("*.jpg"))
    for split in (1, 2):
        for number, part in enumerate(("train", "validate", "test")):
            (folder / "packed" / "labels" / f"{part}{split}.txt").write_text("\n".join(paths[(number + split) % 3::3]))
    with tarfile.open(folder / "minc.tar.gz", "w:gz") as archive:
        archive.add(folder / "packed", "minc-2500")
    return folder


@pytest.fixture
def at_desk(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work there, with the jobs of children done in this process."""
    InProcess(monkeypatch, "train", "export")
    monkeypatch.chdir(desk)
    monkeypatch.setenv("MATLENS_CACHE", str(desk / "cache"))
    return desk


@pytest.mark.parametrize("line", lines())
def test_a_command_that_trains_or_fetches_ends_well(line: str, at_desk: Path, matlens: Callable[..., Any]) -> None:
    """In the order of the pages, as a reader goes: what a line needs is what lines before it have left."""
    words = shlex.split(line)[1:]
    if words[:2] == ["data", "fetch"]:
        archive = at_desk / "minc.tar.gz"
        words += ["--url", archive.as_uri(), "--sha1", hashlib.sha1(archive.read_bytes()).hexdigest()]
    elif words[0] == "run":
        if "--corrections" in words:  # as a review leaves it
            photo = min((at_desk / "photos" / "brick").iterdir())
            Path(words[words.index("--corrections") + 1]).write_text(
                "time,path,sha256,from,to,action\n2026-03-01T10:12:44Z,"
                f"brick/{photo.name},{checksum(photo)},brick,,leave_out\n")
        words += STAND_INS
    elif words[0] == "train":
        words = ["train", "acme/tiny", *words[2:], *STAND_INS[2:]]
    code, out, err = matlens(*words)
    assert code == 0, err
    if words[0] == "run":
        address = re.findall(r"file:\S+report\.html", out)[-1]
        assert Path(url2pathname(urlsplit(address).path)).is_file()
        assert "--out" not in words or f"/{words[words.index('--out') + 1]}/" in address
    elif words[0] == "train":
        assert Path(out.splitlines()[-1]).is_file()
    elif words[0] == "data":
        assert (at_desk / "data" / "minc-2500" / "images").is_dir()
