"""Photos with faults that are planted in them, for the tests of the audit and of the quarantine."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from matlens.data.drawn.synthetic import draw_material
from matlens.data.source.minc import FILL_COLOUR

HOSTILE = "brick/a\n<script>alert(1)<b> %s \u202eü.jpg"


def contents(folder: Path) -> dict[str, bytes]:
    """The content of each file below a folder, by its path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fresh(name: str, seed: int, size: int = 48) -> np.ndarray:
    """A photo that is not in the `drawn` folder."""
    return draw_material(name, size, np.random.default_rng([9, seed]))


def save(path: Path, pixels: np.ndarray, kind: str = "JPEG", mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels).convert(mode)
    image.save(path, kind, **({"quality": 92} if kind == "JPEG" else {}))


def plant(root: Path) -> dict[str, set[tuple[str, ...]]]:
    """Plant one fault of each kind in a copy of `drawn`. Returns the paths that must be found, by kind."""
    whole = (root / "brick/brick_000001.jpg").read_bytes()
    (root / "brick/cut.jpg").write_bytes(whole[:len(whole) // 2])
    (root / HOSTILE).write_bytes(b"no photo")
    (root / "brick/zero.png").touch()
    (root / "brick/notes.txt").write_text("no photo, and does not claim to be one")
    save(root / "wood/png.jpg", fresh("wood", 1), "PNG")
    save(root / "wood/other.img", fresh("wood", 2))
    save(root / "wood/noending", fresh("wood", 3))
    save(root / "sky/small.jpg", fresh("sky", 4, 20))
    save(root / "sky/print.jpg", fresh("sky", 5), mode="CMYK")
    save(root / "wood/grey.jpg", fresh("wood", 6), mode="L")
    shutil.copy(root / "brick/brick_000002.jpg", root / "brick/copy.jpg")
    with Image.open(root / "foliage/foliage_000002.jpg") as image:
        image.save(root / "foliage/again.jpg", quality=50)
    shutil.copy(root / "wood/wood_000003.jpg", root / "sky/wood.jpg")
    shutil.copytree(root / "sky", root / "tiny", ignore=lambda _, names: names)
    save(root / "tiny/one.jpg", fresh("stone", 7))
    noise = np.random.default_rng(8).integers(-1, 2, (48, 48, 3))
    save(root / "sky/blank.png", (noise + np.array([80, 90, 100])).astype(np.uint8), "PNG")
    save(root / "wood/dark.jpg", fresh("wood", 9) // 8)
    save(root / "wood/bright.jpg", np.clip(fresh("wood", 10).astype(int) + 190, 0, 255).astype(np.uint8))
    save(root / "brick/blurred.jpg", cv2.GaussianBlur(fresh("brick", 11), (0, 0), 4))
    padded = fresh("brick", 12)
    padded[:, :8] = FILL_COLOUR
    save(root / "brick/padded.jpg", padded)
    return {
        "unreadable": {("brick/cut.jpg",), (HOSTILE,)}, "empty": {("brick/zero.png",)},
        "wrong_extension": {("wood/png.jpg",), ("wood/other.img",), ("wood/noending",)},
        "odd_size": {("sky/small.jpg",)}, "odd_mode": {("sky/print.jpg",), ("wood/grey.jpg",)},
        "exact_duplicate": {("brick/brick_000002.jpg", "brick/copy.jpg"), ("sky/wood.jpg", "wood/wood_000003.jpg")},
        "near_duplicate": {("foliage/again.jpg", "foliage/foliage_000002.jpg")},
        "two_classes": {("sky/wood.jpg", "wood/wood_000003.jpg")}, "class_imbalance": {("tiny",)},
        "blank": {("sky/blank.png",)}, "dark": {("wood/dark.jpg",)}, "bright": {("wood/bright.jpg",)},
        "blurred": {("brick/blurred.jpg",)}, "padding": {("brick/padded.jpg",)},
    }
