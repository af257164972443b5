"""Say what lies at an address, from its listing or its manifest: no photo is read."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

from rich.filesize import decimal

from matlens.data.layout.walk import rooted
from matlens.data.remote.failures import PATIENCE
from matlens.data.remote.opening import stores_of
from matlens.data.remote.plan import plan_of
from matlens.data.source.patience import Patience
from matlens.data.source.sources import Source, source_in
from matlens.settings.addresses import Address
from matlens.system.caches import Say


def seen_at(address: Address, say: Say, patience: Patience = PATIENCE) -> str:
    """Return a line with layout, classes, photos and bytes of what lies at an address.

    Raises:
        DataError: nothing lies there, it cannot be read, or it is laid out for something else.
    """
    with tempfile.TemporaryDirectory(prefix="matlens-") as scratch:
        plan = plan_of(address, stores_of(address, patience, say), Path(scratch, "manifest"))
        for remark in plan.remarks:
            say(remark)
        size = "" if plan.size is None else f", {decimal(plan.size)}"
        if plan.are_shards:
            return f"{address}: {len(plan.objects):,} tar shards{size}"
        source = _laid_out(plan.objects, Path(scratch, address.name or "photos"))
    splits = f", official splits {', '.join(map(str, source.split_numbers))}" if source.split_numbers else ""
    layout = "manifest" if address.kind == "manifest" else source.layout
    return f"{address}: {layout}, {len(source.class_names)} classes, {len(source.photos)} photos{splits}{size}"


def _laid_out(places: Collection[str], top: Path) -> Source:
    """Return the dataset of files with these names, which are empty: only names say how a dataset is laid out."""
    for place in places:
        file = top / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return source_in(rooted(top))
