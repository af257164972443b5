"""What a run does not do by itself, since it takes its time: faithfulness of heat maps, galleries, robustness.

Each leaves a JSON file (and a picture) in the run's `reports/`; `note_in_results` puts the summaries into the results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

from matlens.errors import ResultsError
from matlens.evaluation.results import Results
from matlens.explanation.faithfulness_display import plot_faithfulness
from matlens.explanation.faithfulness_results import Faithfulness, judge_heat_maps
from matlens.explanation.galleries import make_gallery
from matlens.explanation.methods import MethodName
from matlens.models.registry import spec_of
from matlens.robustness.curves import Robustness, judge_robustness, workload
from matlens.robustness.display import plot_robustness
from matlens.runs.run import Run
from matlens.system.console import Reporter
from matlens.system.files import checksum

_WORDS = {"better": "better than random", "worse": "worse than random", "unclear": "not told apart from random"}

Measured = TypeVar("Measured", Faithfulness, Robustness)


def measure_faithfulness(folder: Run, names: Sequence[str], n: int, method: MethodName, reporter: Reporter,
                         ) -> None:
    """Measure the heat maps of each model on `n` test photos, and draw the curves."""
    total = min(n, len(folder.split.part("test")))
    for name in names:
        title = spec_of(name).title
        with reporter.progress(f"{title}: faithfulness of heat maps", total) as advance:
            found = judge_heat_maps(folder, name, n, method, lambda done, _: advance(done, ""))
        path = folder.paths.picture(name, "faithfulness")
        plot_faithfulness(found, title, path)
        for measure, gain in found.gains["random"].items():
            values = ", ".join(f"{each} {scores[measure]:.3f}" for each, scores in found.scores.items())
            reporter.say(f"  {measure}: {values}; {_WORDS[found.verdict('random', measure)]}"
                         + (f" ({gain['mean']:+.3f} ± {gain['standard_error']:.3f})" if gain["standard_error"] else ""))
        note_in_results(folder, name, reporter)
        reporter.result(str(path))


def measure_robustness(folder: Run, names: Sequence[str], n: int, reporter: Reporter) -> None:
    """Measure each model under all perturbations, and draw the curves: of each, and of all that were measured."""
    total = workload(min(n, len(folder.split.part("test"))))
    for name in names:
        title = spec_of(name).title
        with reporter.progress(f"{title}: predicting worse photos", total) as advance:
            found = judge_robustness(folder, name, n, lambda done, _: advance(done, ""))
        path = folder.paths.picture(name, "robustness")
        plot_robustness({title: found}, path)
        note_in_results(folder, name, reporter)
        reporter.result(str(path))
    measured = {spec_of(name).title: one for name in folder.model_names
                if (one := _current(folder, name, "robustness", Robustness, reporter)) is not None}
    if len(measured) > 1:
        path = folder.paths.reports / "robustness.png"
        plot_robustness(measured, path)
        reporter.result(str(path))


def make_galleries(folder: Run, names: Sequence[str], method: MethodName, reporter: Reporter) -> None:
    """Make the gallery of each model."""
    for name in names:
        gallery = make_gallery(folder, name, method)
        reporter.result(f"{folder.paths.on_request_file(name, 'gallery')}: {len(gallery.photos)} photos")


def note_in_results(folder: Run, name: str, reporter: Reporter) -> None:
    """Put the summaries of what was measured on request into the model's results, if it was judged."""
    path = folder.paths.results_file(name)
    if not path.exists():
        return
    faithful = _current(folder, name, "faithfulness", Faithfulness, reporter)
    robust = _current(folder, name, "robustness", Robustness, reporter)
    results = Results.read(path)
    noted = dataclasses.replace(results, faithfulness=faithful.summary if faithful else None,
                                robustness=robust.summary if robust else None)
    if noted != results:
        noted.write(path)


def _current(folder: Run, name: str, kind: str, what: type[Measured], reporter: Reporter) -> Measured | None:
    """What was measured of the model as it is now; None, with a warning, where it is damaged or of an earlier one."""
    path, artifact = folder.paths.on_request_file(name, kind), folder.paths.artifact(name) / "artifact.json"
    if not path.exists() or not artifact.exists():
        return None
    try:
        found = what.read(path)
    except ResultsError as error:
        reporter.warn(str(error))
        return None
    if found.artifact != checksum(artifact):
        reporter.warn(f"{path.name} is of an earlier training of {name}, and is left out of its results.")
        return None
    return found
