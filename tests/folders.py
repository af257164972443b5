"""What lies in folders, for tests that compare them."""

from __future__ import annotations

import hashlib
from pathlib import Path


def tree_hash(folder: Path) -> str:
    """Hash the names and contents of all that lies in a folder."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        whole.update(str(path.relative_to(folder)).encode())
        if path.is_file():
            whole.update(path.read_bytes())
    return whole.hexdigest()
