"""Jobs that are killed and given again: what each begins with, its command, and what it must leave.

What a job leaves is compared file by file with what an uninterrupted one leaves, apart from times.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from matlens.data.drawn.synthetic import draw_dataset

Facts = Mapping[str, str]
"""By the name of each file that was left, what must be the same of it."""

JOB_NAMES = ("audit", "copies", "fetch", "export", "explain", "strong", "series")

MODEL = "mobilenetv2_transfer"
TIMES = frozenset({"peak_rss_bytes", "started", "starts", "at", "resumed_at_epoch", "versions"})
"""Keys of JSON that depend on the moment and on the machine's other work, besides those of seconds."""

_SHOWN_TIMES = (".html", ".csv", ".md", ".log")
"""Endings of files that show seconds; that they are there is what counts."""

PUBLISH = """
import sys; from pathlib import Path; import keras; sys.path.insert(0, sys.argv[2])
from published import publish
publish(keras, keras.applications.MobileNetV2, Path(sys.argv[1]), alpha=0.35)
"""

FETCH = """
import sys
from matlens.cli.main import main
from matlens.data.source import minc
minc.deviations = lambda source: []
main()
"""
"""The command line, for which any dataset is MINC-2500."""


def tree_hash(folder: Path) -> str:
    """Hash what lies in a folder, names and contents."""
    return digest(b"".join(str(path.relative_to(folder)).encode() + path.read_bytes()
                           for path in sorted(folder.rglob("*")) if path.is_file()))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def timeless(content: Any) -> Any:
    """JSON without what depends on the moment, and without failures where the last start had none."""
    if isinstance(content, dict):
        return {key: timeless(value) for key, value in content.items()
                if key not in TIMES and "second" not in key and (key, value) != ("failures", {})}
    return [timeless(value) for value in content] if isinstance(content, list) else content


def fact(path: Path) -> str:
    """What must be the same of a file."""
    if path.suffix in _SHOWN_TIMES:
        return "there"
    if path.suffix == ".jsonl":
        return digest("\n".join(sorted({json.dumps(timeless(json.loads(line)), sort_keys=True)
                                        for line in path.read_text().splitlines()})).encode())
    if path.suffix == ".json":
        return digest(json.dumps(timeless(json.loads(path.read_text())), sort_keys=True).encode())
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return digest(b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays.files)))
    if path.suffix == ".h5":  # it holds the time at which it was made
        return "there"
    return digest(path.read_bytes())


def facts_of(folder: Path) -> Facts:
    """The facts of all that lies in a folder."""
    return {path.relative_to(folder).as_posix(): fact(path) for path in sorted(folder.rglob("*")) if path.is_file()}


@dataclass(frozen=True)
class KillJob:
    """A job to kill.

    begin: makes, in a new folder, what the job begins with. command: the words of the command line, for that folder.
    out: what it leaves there, to compare. through: the program that stands for the command line; None for its own.
    """

    begin: Callable[[Path], None]
    command: Callable[[Path], list[str | Path]]
    out: str = "out"
    through: str | None = None

    def start(self, place: Path, cache: Path) -> subprocess.Popen[str]:
        """Begin the job in a folder, or go on with it."""
        program = ["-m", "matlens"] if self.through is None else ["-c", self.through]
        return subprocess.Popen([sys.executable, *program, *map(str, self.command(place))], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                env={**os.environ, "MATLENS_CACHE": str(cache), "OMP_NUM_THREADS": "1"})

    def finish(self, place: Path, cache: Path) -> str:
        """The same to the end; what it printed."""
        with self.start(place, cache) as process:
            said = process.communicate()[0]
        assert process.returncode == 0, said
        return said


class Stage:
    """Photos, weights, a finished run and a server, which all jobs share; each is made when first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.photos = draw_dataset(folder / "photos", photos_per_class=16, size=40, seed=1,
                                   materials=("brick", "sky", "wood"))
        self.photos_hash = tree_hash(self.photos)

    def jobs(self) -> dict[str, Callable[[], KillJob]]:
        """Each job, by its name."""
        return {"strong": partial(self.trained, "--recipe", "strong", "--epochs", "3"),
                "series": partial(self.trained, "--protocol", "kfold:3", "--epochs", "2"),
                "explain": partial(self.on_run, "explain", "--galleries", "--faithfulness", "6"),
                "export": partial(self.on_run, "export"), "audit": self.audit, "copies": self.copies,
                "fetch": self.fetch}

    def options(self) -> list[str | Path]:
        weights = self.folder / "weights" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
        if not weights.exists():
            weights.parent.mkdir()
            subprocess.run([sys.executable, "-c", PUBLISH, str(weights), str(Path(__file__).parents[1])], check=True,
                           capture_output=True)
        return ["run", "--data", self.photos, "--models", MODEL, "--weights-dir", weights.parent, "--option",
                "alpha=0.35", "--img-size", "64", "--batch-size", "8", "--deterministic"]

    def trained(self, *more: str) -> KillJob:
        """A run, or a series."""
        options = self.options()
        return KillJob(lambda place: None, lambda place: [*options, *more, "--out", place / "out"])

    def on_run(self, *words: str) -> KillJob:
        """A command on a finished run."""
        whole = self.folder / "whole"
        if not whole.exists():
            self.trained("--epochs", "2").finish(whole, self.cache)
        command, *more = words
        return KillJob(lambda place: shutil.copytree(whole / "out", place / "out") and None,
                       lambda place: [command, place / "out", *more])

    def audit(self) -> KillJob:
        """Photos with faults, which are moved: each is whole in one of the two places at any moment."""
        def begin(place: Path) -> None:
            photos = Path(shutil.copytree(self.photos, place / "out" / "photos"))
            whole = min((photos / "brick").iterdir()).read_bytes()
            for number in range(300):
                (photos / "wood" / f"cut_{number}.jpg").write_bytes(whole[:200 + number])

        return KillJob(begin, lambda place: ["data", "audit", place / "out" / "photos", "--quarantine",
                                             place / "out" / "apart", "--kind", "unreadable", "--json",
                                             place / "audit.json"])

    def copies(self) -> KillJob:
        """A search for copies among many photos that are alike."""
        alike = self.folder / "alike"
        if not alike.exists():
            rng = np.random.default_rng(3)
            for name in ("day", "night"):
                (alike / name).mkdir(parents=True)
                scene = rng.integers(0, 256, (64, 64, 3)).astype(np.int64)
                for number in range(80):
                    pixels = np.clip(scene + rng.integers(-9, 10, scene.shape), 0, 255).astype(np.uint8)
                    Image.fromarray(pixels).save(alike / name / f"{number}.jpg")
        return KillJob(lambda place: (place / "out").mkdir(), lambda place: [
            "data", "audit", alike, "--json", place / "out" / "audit.json", "--html", place / "out" / "audit.html"])

    def fetch(self) -> KillJob:
        """A download, and its unpacking."""
        archive = self.folder / "served" / "minc-2500.tar.gz"
        if not archive.exists():
            archive.parent.mkdir()
            noise = np.random.default_rng(5)
            with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
                for path in sorted(self.photos.rglob("*.jpg")):
                    tar.add(path, f"minc-2500/images/{path.parent.name}/{path.name}")
                for number in range(60):
                    member = tarfile.TarInfo(f"minc-2500/images/brick/large_{number}.txt")
                    member.size = 300_000
                    tar.addfile(member, io.BytesIO(noise.bytes(member.size)))
        sha1 = hashlib.sha1(archive.read_bytes()).hexdigest()
        url = self.serve(archive.parent)
        return KillJob(lambda place: place.mkdir(exist_ok=True), lambda place: [
            "data", "fetch", "minc-2500", "--to", place / "out" / "minc", "--url", f"{url}/{archive.name}", "--sha1",
            sha1], out="out/minc", through=FETCH)

    def serve(self, folder: Path) -> str:
        """Serve a folder's files until this process ends. Returns the address."""
        class Quiet(SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"


@contextmanager
def new_place(stage: Stage, job: KillJob) -> Iterator[Path]:
    """A folder in which a job may begin, removed at the end; always of the same name, which logs hold."""
    place = stage.folder / "place"
    place.mkdir()
    job.begin(place)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
