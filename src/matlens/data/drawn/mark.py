"""The file by which drawn photos are known: whoever sees figures of them must learn that they are drawn."""

from __future__ import annotations

from pathlib import Path

MARK = "drawn-by-matlens.txt"

_WORDS = """matlens drew these photos (matlens.draw_dataset). They show what the program does.
No figure measured on them says anything about real photos.
"""


def mark(root: Path) -> None:
    """Write the file into a folder of drawn photos."""
    (root / MARK).write_text(_WORDS, encoding="utf-8")


def carry_over(source: Path, copy: Path) -> None:
    """Mark a copy of a folder's photos as drawn where these are, and not where they are not."""
    if remarks_of_drawing(source):
        mark(copy)
    else:
        (copy / MARK).unlink(missing_ok=True)


def remarks_of_drawing(root: Path) -> tuple[str, ...]:
    """Return what a reader of results must know if a dataset is drawn."""
    if not (root / MARK).is_file():
        return ()
    return ("the photos are drawn by matlens, not taken with a camera: no figure here says anything about real photos",)
