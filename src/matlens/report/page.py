"""The page of a run: `report.html`, one file that needs no network and no other file.

It is made from what the run left on disk, so it can be made again at any time. What is missing or damaged is
named on the page; the rest is shown. Without scripts all of it is there, one model below the other, as in print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matlens.comparison.choice import recorded_choice
from matlens.comparison.row import Row
from matlens.comparison.table import Comparison, compare
from matlens.errors import RunError
from matlens.evaluation.metrics.metric import metrics_of
from matlens.evaluation.part_predictions import SavedPredictions
from matlens.evaluation.results import Results
from matlens.report.contents import mapping, read_contents
from matlens.report.downloads import PAGE_NAME, view_downloads
from matlens.report.heading import heading_of
from matlens.report.sections.corrections_view import view_corrections
from matlens.report.sections.data_view import view_data
from matlens.report.sections.gallery_view import PhotoPool
from matlens.report.sections.measures import same_as_others
from matlens.report.sections.model_panel import PAIRS_SHOWN, ModelPanel, panel_keys, view_model
from matlens.report.sections.overview import IntervalPlot, comparison_pictures
from matlens.report.sections.repeat import view_repeat
from matlens.report.sections.second_look import second_look
from matlens.report.templating import write_page
from matlens.report.verdict import NOTHING_YET, verdict
from matlens.report.words import FILTERS, caveats
from matlens.runs.ownership import refuse_ways_out
from matlens.runs.paths import RunPaths

LARGEST = 15_000_000
"""Bytes of a page that can still be sent by mail. Four models of 23 classes with everything take 13.3 MB of noise, and
a third of that of real photos."""

_OF_A_PAGE, _OF_A_MODEL = 1_000_000, 60_000
"""Bytes of the page, and of each model's part, besides pictures and galleries."""


def write_report(run_dir: Path | str, title: str | None = None, *, comparison: Comparison | None = None) -> Path:
    """Write `run_dir`/report.html, whole or not at all, from the files of the run.

    Args:
        title: by default the one in run.json, or the dataset's name.
        comparison: of the run's models, from whoever has worked it out; by default it is made from the files.

    Raises RunError if `run_dir` is no folder, or something in it leads out of it.
    """
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise RunError(f"{run_dir} is not a folder. Name the one that was given to matlens run --out.")
    refuse_ways_out(run_dir)
    paths, pool = RunPaths(run_dir), PhotoPool()
    problems: list[str] = []
    contents = read_contents(run_dir, problems)
    judged = {results.model_name: results for results in contents.results}
    if comparison is None or {row.model for row in comparison.rows} != judged.keys():
        comparison = _compared(paths, judged, mapping(contents.run.get("settings")))
    rows = comparison.rows if comparison else ()
    pictures = comparison_pictures(run_dir, comparison) if comparison else ()
    return write_page(
        run_dir / PAGE_NAME, "page.html.j2", FILTERS,
        heading=heading_of(contents.run, contents.split, title or contents.run.get("title")), comparison=comparison,
        rows=rows, metrics=[metric for metric in metrics_of("main") if not all(
            metric.name in same_as_others(result) for result in judged.values())],
        verdict=verdict(comparison, judged[rows[0].model]) if comparison else NOTHING_YET,
        caveats=caveats([(row.model, judged[row.model].remarks) for row in rows]),
        plot=IntervalPlot.of(comparison) if comparison else None, missing=contents.missing, problems=problems,
        panels=_panels(paths, rows, judged, pool, problems, sum(len(picture.base64) for picture in pictures)),
        pictures=pictures, pool=pool,
        look=second_look(run_dir, contents.run, contents.split, problems) if comparison else None,
        corrections=view_corrections(paths, [row.model for row in rows]) if contents.split.get("corrected") else None,
        data=view_data(contents.split), audit=(run_dir / "audit.html").exists(), repeat=view_repeat(contents),
        downloads=view_downloads(run_dir), pairs_shown=PAIRS_SHOWN)


def _panels(paths: RunPaths, rows: Sequence[Row], judged: Mapping[str, Results], pool: PhotoPool, problems: list[str],
            taken: int) -> list[ModelPanel]:
    """Gather the models, the best first; what no longer fits is left out of the page, and said.

    taken: characters of the page's other pictures.
    """
    panels: list[ModelPanel] = []
    for key, row in zip(panel_keys([row.model for row in rows]), rows, strict=True):
        room = LARGEST - _OF_A_PAGE - _OF_A_MODEL * len(rows) - taken - pool.size - sum(panel.size for panel in panels)
        panels.append(view_model(paths, key, judged[row.model], row, pool, problems, room))
    return panels


def _compared(paths: RunPaths, judged: dict[str, Results], settings: Mapping[str, Any]) -> Comparison | None:
    """Compare the models whose results are there, from their saved predictions; None without any."""
    margin, choose_on = recorded_choice(settings)
    files, validation = ({name: SavedPredictions(paths.predictions_file(name, part), paths.split_file, part)
                          for name in judged} for part in ("test", "val"))
    return compare(judged.values(), predictions=files, margin=margin, choose_on=choose_on,
                   validation=validation) if judged else None
