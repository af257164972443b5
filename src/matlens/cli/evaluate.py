"""`matlens evaluate`: figures with their intervals."""

from __future__ import annotations

from typing import Annotated

import typer

from matlens.cli.options import (
    MaterialGroupsFile,
    Models,
    MovedPhotos,
    On,
    Quiet,
    RunArgument,
    TaskCpus,
    chosen_models,
    with_photos_in,
)


def evaluate(run: RunArgument, models: Models = None, material_groups: MaterialGroupsFile = None,
             svg: Annotated[bool, typer.Option("--svg", help="Also draw all pictures as SVG.")] = False,
             robustness: Annotated[bool, typer.Option(
                 "--robustness", help="Also measure accuracy on photos that are darker, blurred, compressed, turned, "
                 "shuffled, without their surroundings ...: 65 predictions a photo.")] = False,
             robustness_photos: Annotated[int | None, typer.Option(
                 "--robustness-photos", min=1, help="With --robustness: how many test photos at most.",
                 show_default="500")] = None,
             data: MovedPhotos = None, on: On = None, task_cpus: TaskCpus = None, quiet: Quiet = False) -> None:
    """Judge the trained models of a run again: predictions, metrics, pictures, comparison and report."""
    from matlens.comparison.row import Row, between
    from matlens.errors import SettingsError
    from matlens.evaluation.judge import evaluate as evaluate_one
    from matlens.evaluation.material_groups import copy_groups
    from matlens.evaluation.metrics.metric import percent
    from matlens.evaluation.part_predictions import photos_to_predict
    from matlens.jobs.judged import pass_on
    from matlens.jobs.measure import measure_robustness, note_in_results
    from matlens.jobs.run import summarise
    from matlens.robustness.curves import PHOTOS_MEASURED
    from matlens.runs.run import Run
    from matlens.settings.schema import Settings
    from matlens.system.console import Reporter

    settings = Settings.load(options={"on": on, "task_cpus": task_cpus})
    if on is not None and not robustness:
        raise SettingsError("--on takes the measurements of --robustness to a cluster. Judging takes seconds, and is "
                            "done here: give both, or leave --on out.")
    if robustness_photos is not None and not robustness:
        raise SettingsError("--robustness-photos says how many photos --robustness takes: give both.")
    reporter, opened = Reporter(quiet), with_photos_in(data, Run.open(run), needed=robustness,
                                                      words="evaluate")
    copy_groups(material_groups, opened.path, opened.split.class_names)
    names = opened.trained_models(chosen_models(models))
    for name in names:
        with reporter.progress(f"{name}: predicting", photos_to_predict(opened, name)) as advance:
            evaluation = evaluate_one(opened, name, lambda done, _: advance(done, ""), every_picture=True, svg=svg)
        results = evaluation.results
        reporter.result(f"{name}: accuracy {between(results)}, macro F1 {percent(results.macro_f1)} on "
                        f"{Row.from_results(results).tested}")
        pass_on(opened, results, reporter, evaluation.learned)
        note_in_results(opened, name, reporter)
    if robustness and on is not None:
        from matlens.jobs.cluster.robustness import robustness_on

        robustness_on(settings, opened, names, robustness_photos or PHOTOS_MEASURED, reporter)
    elif robustness:
        measure_robustness(opened, names, robustness_photos or PHOTOS_MEASURED, reporter)
    comparison = summarise(opened, svg=svg)
    for sentence in comparison.sentences if comparison else ():
        reporter.result(sentence)
    reporter.result(f"report: {opened.path / 'report.html'}")
