"""Work out the guide's CLASS_NAMES and NUM_CLASSES when somebody asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matlens.data.source.sources import open_source
from matlens.errors import DataError
from matlens.settings.knobs import notebook_settings

LABEL_SPACE = ("CLASS_NAMES", "NUM_CLASSES")

_latest: Path | None = None


def remember_prepared(folder: Path) -> None:
    """Note the prepared directory that this process works with."""
    global _latest
    _latest = folder.resolve()


def __getattr__(name: str) -> Any:
    """Return the class names (sorted), or their number, of the prepared directory at hand.

    That is the one that `create_split` or `build_datasets` of this process used last, else OUTPUT_DIR.

    Raises:
        DataError: nothing was prepared yet.
    """
    if name not in LABEL_SPACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    folder = _latest or notebook_settings().output_dir
    try:
        names = open_source(folder).class_names
    except DataError as error:
        raise DataError(f"{name} is known once the photos are divided, and {folder} holds no split: call "
                        "create_split(DATA_DIR, OUTPUT_DIR) first.") from error
    return list(names) if name == "CLASS_NAMES" else len(names)
