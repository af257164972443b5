"""Measure what a run does not measure by itself, since it takes long: faithfulness, robustness, galleries.

Each measurement leaves a JSON file (and a picture) in the run's `reports/`; `note_in_results` puts the summaries into
the results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from matlens.errors import ResultsError
from matlens.evaluation.results import Results
from matlens.explanation.faithfulness.display import plot_faithfulness
from matlens.explanation.faithfulness.judge import judge_heat_maps
from matlens.explanation.faithfulness.results import Faithfulness
from matlens.explanation.galleries import Gallery, make_gallery
from matlens.explanation.on_request import Measurement
from matlens.models.registry import spec_of
from matlens.robustness.curves import Robustness, judge_robustness, workload
from matlens.robustness.display import plot_robustness
from matlens.runs.run import Run
from matlens.system.console import Reporter

_WORDS = {"better": "better than random", "worse": "worse than random",
          "unclear": "not significantly different from random"}

AnyMeasurement = TypeVar("AnyMeasurement", bound=Measurement)


def measure_faithfulness(run: Run, names: Sequence[str], n: int, method: str, reporter: Reporter) -> None:
    """Measure the heat maps of each model on `n` test photos, and draw the curves."""
    total = min(n, len(run.split.part("test")))
    for name in names:
        title = spec_of(name).title
        with reporter.progress(f"{title}: faithfulness of heat maps", total) as advance:
            faithfulness = judge_heat_maps(run, name, n, method, lambda done, _: advance(done, ""))
        path = run.paths.picture(name, Faithfulness.kind)
        plot_faithfulness(faithfulness, title, path)
        for measure, gain in faithfulness.gains["random"].items():
            values = ", ".join(f"{of_map} {scores[measure]:.3f}" for of_map, scores in faithfulness.scores.items())
            reporter.say(f"  {measure}: {values}; {_WORDS[faithfulness.verdict('random', measure)]}"
                         + (f" ({gain['mean']:+.3f} ± {gain['standard_error']:.3f})" if gain["standard_error"] else ""))
        note_in_results(run, name, reporter)
        reporter.result(str(path))


def measure_robustness(run: Run, names: Sequence[str], n: int, reporter: Reporter) -> None:
    """Measure each model under all perturbations; draw the curves of each, and of all that were measured."""
    for name in names:
        measure_robustness_of(run, name, n, reporter)
    draw_robustness_of_all(run, reporter)


def measure_robustness_of(run: Run, name: str, n: int, reporter: Reporter) -> None:
    """Measure a model under all perturbations, on `n` test photos at most, and draw its curves."""
    title = spec_of(name).title
    with reporter.progress(f"{title}: predicting degraded photos", workload(min(n, len(run.split.part("test"))))
                           ) as advance:
        robustness = judge_robustness(run, name, n, lambda done, _: advance(done, ""))
    path = run.paths.picture(name, Robustness.kind)
    plot_robustness({title: robustness}, path)
    note_in_results(run, name, reporter)
    for line in _of_each(robustness):
        reporter.result(line)
    reporter.result(str(path))


def draw_robustness_of_all(run: Run, reporter: Reporter) -> None:
    """Draw the curves of all models of a run that were measured, where there are several."""
    by_title = {spec_of(name).title: measured for name in run.model_names
                if (measured := _current(Robustness, run, name, reporter)) is not None}
    if len(by_title) > 1:
        path = run.paths.reports / "robustness.png"
        plot_robustness(by_title, path)
        reporter.result(str(path))


def _of_each(robustness: Robustness) -> list[str]:
    """Return the accuracy under each perturbation, at its strengths in turn, in columns."""
    widest = max(len(curve["title"]) for curve in robustness.curves.values())
    return [f"  accuracy of {robustness.n_photos} photos as they are: {100 * robustness.accuracy:.1f} %; degraded, the "
            "weakest strength first:",
            *(f"  {curve['title']:<{widest}} {''.join(f'{100 * share:7.1f}' for share in curve['accuracy'])} %"
              for curve in robustness.curves.values())]


def make_galleries(run: Run, names: Sequence[str], method: str, reporter: Reporter) -> None:
    """Make the gallery of each model."""
    for name in names:
        gallery = make_gallery(run, name, method)
        reporter.result(f"{run.paths.on_request_file(name, Gallery.kind)}: {len(gallery.photos)} photos")


def note_in_results(run: Run, name: str, reporter: Reporter) -> None:
    """Put the summaries of what was measured on request into the model's results, if it was judged."""
    path = run.paths.results_file(name)
    if not path.exists():
        return
    faithfulness = _current(Faithfulness, run, name, reporter)
    robustness = _current(Robustness, run, name, reporter)
    results = Results.read(path)
    noted = dataclasses.replace(results, faithfulness=faithfulness.summary if faithfulness else None,
                                robustness=robustness.summary if robustness else None)
    if noted != results:
        noted.write(path)


def _current(kind: type[AnyMeasurement], run: Run, name: str, reporter: Reporter) -> AnyMeasurement | None:
    """Read what was measured of the model as it is now; warn where the file is damaged or of an earlier training."""
    try:
        return kind.current(run.paths, name)
    except ResultsError as error:
        reporter.warn(str(error))
        return None
