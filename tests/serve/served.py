"""A server of the small run in this process, without a network: a client whose requests the application answers."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image

from matlens.features.novelty.detectors import NearestNeighbours
from matlens.features.novelty.stored import Novelty
from matlens.features.novelty.training_photos import TrainingPhotos
from matlens.runs.run import Run
from matlens.serving.app import make_app
from matlens.serving.engine import AnsweringEngine
from matlens.serving.limits import ServerLimits
from matlens.serving.metrics import Metrics
from matlens.serving.models import ServedModel, open_models
from small_run import CLASSES, NAMES, patched

Talk = Callable[[httpx2.AsyncClient, AnsweringEngine], Awaitable[Any]]
LOCAL = "http://127.0.0.1:8000"


def png_of(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def photo_of(colour: str, level: int = 255) -> bytes:
    """A photo that the small run's networks know."""
    return png_of(patched(colour, (0, 0), level))


STRANGER = png_of(np.full((48, 48, 3), (255, 255, 0), np.uint8))
"""A photo unlike any that they saw."""


def zip_of(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def novelty_of(model: ServedModel) -> Novelty:
    """What the networks would have learned of 30 photos of each colour, each of them alone."""
    levels = range(196, 256, 2)
    photos = np.stack([patched(colour, (0, 0), level) for colour in CLASSES for level in levels])
    labels = np.repeat(np.arange(len(CLASSES)), len(levels))
    own, features = model.artifact.predict_with_features(photos.astype(np.float32) / 255)
    detector = NearestNeighbours.fit(features, labels)
    true = own[np.arange(len(labels)), labels].astype(np.float64)
    return Novelty(detector, detector.strangeness(features), true, labels, np.arange(len(labels)), len(CLASSES))


def novelty_with_names(model: ServedModel, run: Path) -> Novelty:
    """The same, fitted on the training photos of the run, whose names it holds."""
    photos = Run.open(run).split.part("train")
    pixels = np.stack([patched(photo.class_name, [(0, 0), (0, 1)][number % 2], 250 - 2 * (number % 2))
                       for number, photo in enumerate(photos)])
    features = model.artifact.predict_with_features(pixels.astype(np.float32) / 255)[1]
    labels = np.array([CLASSES.index(photo.class_name) for photo in photos])
    training = TrainingPhotos.of(tuple(photo.path for photo in photos), labels, features)
    return replace(novelty_of(model), detector=NearestNeighbours.fit(features, labels), training=training)


def with_client(run: Path, talk: Talk, *, limits: ServerLimits = ServerLimits(), token: str | None = None,  # noqa: B008
                models: list[ServedModel] | None = None, base: str = LOCAL) -> Any:
    """Let `talk` ask a server of a run, and return what it returns."""
    async def main() -> Any:
        engine = AnsweringEngine(models or open_models([run], print), limits, Metrics())
        await engine.start()
        transport = httpx2.ASGITransport(make_app(engine, token), raise_app_exceptions=False)
        try:
            async with httpx2.AsyncClient(transport=transport, base_url=base, timeout=60) as client:
                return await talk(client, engine)
        finally:
            await engine.stop()

    return asyncio.run(main())


MODELS = NAMES
