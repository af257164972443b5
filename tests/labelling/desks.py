"""A review of the small run in this process: its desk, and a client whose requests the application answers."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2

from matlens.jobs.labelling.cards import review_cards
from matlens.jobs.labelling.decisions_file import DecisionsFile
from matlens.jobs.labelling.decisions_of_run import decisions_path, first_decisions
from matlens.runs.run import Run
from matlens.serving.review.app import make_review_app
from matlens.serving.review.desk import ReviewDesk
from matlens.system.console import Reporter

LOCAL = "http://127.0.0.1:8001"


def desk_of(run: Path, file: Path | None = None) -> ReviewDesk:
    """A desk with the suspicious labels of a run. The small run's photos are nearly copies, all of them."""
    opened = Run.open(run)
    return ReviewDesk(opened, review_cards(opened, Reporter(quiet=True), with_audit=False),
                      DecisionsFile(file or decisions_path(opened), first_decisions(opened)))


def copied(run: Path, place: Path) -> Path:
    """A copy of a run, to which decisions may be added. Its photos are where they were."""
    return Path(shutil.copytree(run, place))


def asking(desk: ReviewDesk, talk: Callable[[httpx2.AsyncClient], Awaitable[Any]], token: str | None = None,
           base: str = LOCAL) -> Any:
    """Let `talk` ask a review, and return what it returns."""
    async def main() -> Any:
        transport = httpx2.ASGITransport(make_review_app(desk, token), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=base, timeout=60) as client:
            return await talk(client)

    return asyncio.run(main())
