"""What all rows share: folders, sizes, photos that are drawn once, files that stand for published weights."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import os
import statistics
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from matlens.data.drawn.synthetic import MATERIALS, draw_material
from matlens.data.prepare import Prepared, prepare
from matlens.models.registry import spec_of
from matlens.models.weights import find_local
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from matlens.system.files import whole_folder

CLASSES = MATERIALS[:8]
SAID = "    > "
_STARTED, _TO_TELL = time.perf_counter(), 6


@dataclass(frozen=True)
class Work:
    """Folders and sizes.

    many, few: folders of photos for what is timed, and for whole runs. weights: a folder for weights files.
    folder: for everything else. side: of the photos, in pixels. quick: fewer epochs, steps and photos.
    seconds: after which this process, which measures one row, is ended.
    """

    many: Path
    few: Path
    weights: Path
    folder: Path
    side: int
    quick: bool
    seconds: float = math.inf

    @property
    def left(self) -> float:
        """Return the seconds until this process is ended, less what it takes to say what it has."""
        return self.seconds - _TO_TELL - (time.perf_counter() - _STARTED)

    def to_json(self) -> str:
        """Encode it for a child."""
        return json.dumps(dataclasses.asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> Work:
        """Decode what `to_json` returned."""
        values = json.loads(text)
        return cls(**{key: Path(value) if isinstance(value, str) else value for key, value in values.items()})

    def settings(self, photos: Path, **options: Any) -> Settings:
        """Return settings over photos of this size."""
        return Settings.load(options={"data_dir": photos, "img_size": self.side, "cache_dir": self.folder / "cache",
                                      "weights": "none", **options})

    def prepared(self, photos: Path) -> Prepared:
        """Decode and divide photos, or take them from the cache."""
        return prepare(self.settings(photos), Reporter(quiet=True))

    def weights_file(self, model: str) -> Path | None:
        """Return a model's weights file: one that was made here, or one of the framework's own cache."""
        return find_local(spec_of(model), self.weights, spec_of(model).options, self.side)


def draw(folder: Path, drawn: int, copies: int, side: int) -> None:
    """Draw `drawn` photos of each of `CLASSES`, and give each in `copies` variations, on all cores.

    A variation is moved, mirrored and turned: to draw a photo takes fifty times as long as to write one, and no figure
    here depends on what the photos show. Nothing is done where the folder is there.
    """
    if folder.is_dir():
        return
    with whole_folder(folder) as place, ProcessPoolExecutor() as pool:
        for name in CLASSES:
            (place / name).mkdir()
        jobs = [(name, number) for number in range(drawn) for name in CLASSES]
        list(pool.map(partial(_draw, place, copies, side), jobs, chunksize=4))


def _draw(folder: Path, copies: int, side: int, job: tuple[str, int]) -> None:
    name, number = job
    rng = np.random.default_rng([1, zlib.crc32(name.encode()), number])
    photo = draw_material(name, side, rng)
    for copy in range(copies):
        varied = np.roll(photo, tuple(rng.integers(0, side, 2)), (0, 1)) if copy else photo
        varied = np.rot90(varied, int(rng.integers(4))) if copy else varied
        Image.fromarray(np.ascontiguousarray(varied)).save(
            folder / name / f"{name}_{number * copies + copy + 1:06d}.jpg", quality=90)


def make_keras_weights(work: Work) -> None:
    """Write files that stand for the published weights of MobileNetV2 and ResNet50, where there are none.

    The weights are random, with batch normalisation's statistics of noise: else what goes through vanishes or explodes.
    """
    import keras

    for model, reach in (("mobilenetv2_transfer", 1), ("resnet50_transfer", 128)):
        if work.weights_file(model) is not None:
            continue
        spec = spec_of(model)
        keras.utils.set_random_seed(1)
        backbone = getattr(keras.applications, str(spec.backbone))(include_top=False, weights=None,
                                                                   input_shape=(64, 64, 3))
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.0
        backbone(keras.random.uniform((8, 64, 64, 3), -reach, reach), training=True)
        backbone.save(work.weights / spec.weights_files(spec.options, work.side)[-1].name, include_optimizer=False)


def make_torch_weights(work: Work) -> None:
    """Write a file that stands for the published weights of GoogLeNet, where there is none."""
    import torch
    from torchvision.models import GoogLeNet

    if work.weights_file("inception_v1") is not None:
        return
    torch.manual_seed(1)
    module = GoogLeNet(aux_logits=True, transform_input=False, init_weights=True).train()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        module(torch.rand(8, 3, 224, 224) * 2 - 1)
    spec = spec_of("inception_v1")
    torch.save(module.state_dict(), work.weights / spec.weights_files(spec.options, work.side)[0].name)


def say(text: str) -> None:
    """Print a line that `benchmarks/gpu.py` shows; it only logs what else a row prints."""
    print(SAID + text, flush=True)


def framework_device() -> str:
    """Return where PyTorch's peers run, "cuda" or "cpu"."""
    torch = importlib.import_module("torch")
    return "cuda" if torch.cuda.is_available() else "cpu"


def seconds_of(job: Callable[[], object], wait: Callable[[], object]) -> float:
    """Return the seconds that a job takes; `wait` waits for the device."""
    wait()
    started = time.perf_counter()
    job()
    wait()
    return time.perf_counter() - started


def spread(rates: list[float], what: str) -> str:
    """Describe rates: their number, the lowest and the highest."""
    return f"n = {len(rates)} {what}, {min(rates):,.0f} to {max(rates):,.0f}"


def median(rates: list[float]) -> float:
    """Return the median."""
    return float(statistics.median(rates))


def keras_waits() -> Callable[[], object]:
    """Return what waits for the device of Keras' back end."""
    if os.environ.get("KERAS_BACKEND") == "torch":
        torch = importlib.import_module("torch")
        if torch.cuda.is_available():
            return torch.cuda.synchronize  # type: ignore[no-any-return]
    return lambda: None


def photos_of(prepared: Prepared, n: int) -> Iterator[Any]:
    """Yield `n` photos (H, W, 3) uint8 of a store, from the first on and over again."""
    rows = len(prepared.store.pixels)
    for index in range(n):
        yield prepared.store.read([index % rows])[0]
