"""The audit on real photographs: what is planted among them is found, and few others are suspected."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from matlens.data.audit.audit import audit
from matlens.data.source.minc import FILL_COLOUR
from matlens.data.source.sources import open_source

pytestmark = [pytest.mark.real, pytest.mark.slow]

OTHERS_AT_MOST = 0.03
"""Findings among untouched photos, as a share: TrashNet as a whole has 1.9 %, near-duplicates and blurred photos."""

Pixels = np.ndarray


def jpeg(pixels: Pixels, quality: int = 88) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


def resized(pixels: Pixels, side: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))


def padded(pixels: Pixels) -> Pixels:
    return np.vstack([np.full((60, 362, 3), FILL_COLOUR, dtype=np.uint8), pixels[60:]])


COPIES: dict[str, Callable[[Pixels], bytes]] = {
    "quality 30": lambda pixels: jpeg(pixels, 30), "quality 95": lambda pixels: jpeg(pixels, 95),
    "half": lambda pixels: jpeg(resized(pixels, 181)), "larger": lambda pixels: jpeg(resized(pixels, 543)),
    "brighter": lambda pixels: jpeg(np.clip(pixels * 1.1, 0, 255).astype(np.uint8)),
    "cropped": lambda pixels: jpeg(pixels[3:-4, 3:-4]),
}
FAULTS: dict[str, Callable[[Pixels], Pixels]] = {
    "blank": lambda pixels: np.broadcast_to(pixels[:1, :1], pixels.shape).copy(), "dark": lambda pixels: pixels // 8,
    "bright": lambda pixels: np.clip(pixels.astype(int) + 225, 0, 255).astype(np.uint8),
    "blurred": lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 4), "padding": padded,
}
EACH = 10


@pytest.fixture(scope="module")
def sample(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """About 300 photos by class, linked; and others, to plant faults with."""
    root, source = tmp_path_factory.mktemp("real") / "photos", open_source(shared / "data" / "trashnet-2527")
    for photo in source.photos[::8]:
        place = root / photo.class_name / Path(photo.path).name
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.root / photo.path, place)
        except OSError:
            shutil.copy(source.root / photo.path, place)
    return root, [source.root / photo.path for photo in source.photos[4::8]]


def test_planted_faults_are_found_and_few_others(sample):
    """Who has to look through more than three photos in a hundred for nothing stops looking."""
    root, others = sample
    before = audit(open_source(root))
    assert len(before.findings) <= OTHERS_AT_MOST * before.photos
    planted: dict[str, set[tuple[str, ...]]] = {}
    spare = iter(others)

    def add(kind: str, content: bytes, *originals: str, name: str | None = None) -> None:
        path = name or f"trash/{kind}_{len(planted.setdefault(kind, set()))}.jpg".replace(" ", "_")
        (root / path).write_bytes(content)
        planted.setdefault(kind, set()).add(tuple(sorted((path, *originals))))

    for _ in range(EACH):
        content = next(spare).read_bytes()
        add("unreadable", content[:len(content) // 3])
    add("empty", b"")
    with Image.open(next(spare)) as image:
        image.save(root / "trash/png.jpg", "PNG")
        image.convert("CMYK").save(root / "trash/cmyk.jpg", "JPEG")
    planted |= {"wrong_extension": {("trash/png.jpg",)}, "odd_mode": {("trash/cmyk.jpg",)}}
    for kind, change in FAULTS.items():
        for _ in range(EACH):
            with Image.open(next(spare)) as image:
                add(kind, jpeg(change(np.asarray(image))))
    whole = sorted(path.relative_to(root).as_posix() for path in (root / "glass").iterdir())
    for number, path in enumerate(whole[:EACH]):
        add("exact_duplicate", (root / path).read_bytes(), path, name=f"metal/copy_{number}.jpg")
    for number, (path, change) in enumerate(zip(whole[EACH:], list(COPIES.values()) * 5, strict=False)):
        with Image.open(root / path) as image:
            add("near_duplicate", change(np.asarray(image)), path, name=f"glass/near_{number}.jpg")
    planted["two_classes"] = planted["exact_duplicate"]
    found = audit(open_source(root))
    by_kind = {kind: {finding.paths for finding in found.of(kind)} for kind in planted}
    by_kind["bright"] |= by_kind["blank"]  # what is burnt out everywhere is one colour
    missed = {kind: paths - by_kind[kind] for kind, paths in planted.items() if paths - by_kind[kind]}
    # Photos without edges of their own, blurred, keep those that JPEG makes of them.
    assert len(missed.pop("blurred", ())) <= 1
    assert missed == {}
    files = {path for paths in planted.values() for group in paths for path in group}
    beyond = [finding for finding in found.findings if not files & set(finding.paths)]
    assert len(beyond) <= OTHERS_AT_MOST * before.photos
