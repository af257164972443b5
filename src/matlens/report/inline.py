"""The page of a run inside of a notebook."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

from matlens.report.downloads import PAGE_NAME
from matlens.report.page import write_report
from matlens.runs.places import run_folder
from matlens.runs.record import RunRecord
from matlens.runs.series import is_series_folder
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

    A series' page is returned as its last run left it.

    Args:
        run: the folder of a run or of a series; "last" is the newest.

    Raises:
        RunError: it is no folder of a run, and nothing is written into it.
    """
    folder = run_folder(run)
    if is_series_folder(folder) and (folder / PAGE_NAME).is_file():
        return ReportPage(folder / PAGE_NAME)
    RunRecord.read(folder)
    return ReportPage(write_report(folder))
