"""The page of a run inside of a notebook."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

from matlens.report.page import write_report
from matlens.runs.places import run_folder
from matlens.system.ownership.places import Place
from matlens.system.untrusted import read_text

HEIGHT = 800
"""Pixels of the frame that holds the page."""

_LARGEST = 128 << 20
"""Bytes of a page that a notebook shows."""


@dataclass(frozen=True)
class ReportPage:
    """A page that was written: one file that needs no other. A notebook shows it in a frame."""

    path: Path

    def __repr__(self) -> str:
        return f"ReportPage({str(self.path)!r})"

    def _repr_html_(self) -> str:
        page = html.escape(read_text(self.path, _LARGEST))
        return f'<iframe srcdoc="{page}" style="width:100%; height:{HEIGHT}px; border:1px solid #bdbdbd"></iframe>'


def report(run: Place) -> ReportPage:
    """Write a run's report.html again, and return it; as the last line of a cell it is shown in the notebook.

    Args:
        run: the folder of a run; "last" is the newest.

    Raises:
        RunError: it is no folder of a run.
    """
    return ReportPage(write_report(run_folder(run)))
