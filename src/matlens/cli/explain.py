"""`matlens explain`: what trained models looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from matlens.cli.options import Late, Models, MovedPhotos, Quiet, RunArgument, chosen_models, with_photos_in


def _method_option() -> Any:
    from matlens.explanation.registry import DEFAULT_METHOD, EXPLAINERS

    names = [f"{method.name} ({method.predictions_per_photo:,} predictions a photo)"
             if method.predictions_per_photo else method.name for method in EXPLAINERS.entries()]
    return typer.Option(help=f"How heat maps are made: {', '.join(names)}.", show_default=DEFAULT_METHOD)


def explain(run: RunArgument,
            photos: Annotated[list[Path] | None, typer.Argument(
                help="Photos to explain, as with --images.", metavar="PHOTOS", show_default=False)] = None,
            images: Annotated[list[Path] | None, typer.Option(
                help="A photo to explain; may be repeated. Several models are shown side by side, too.",
                show_default="test photos of the run")] = None,
            worst: Annotated[int | None, typer.Option(min=1, help="Explain at most so many mistakes among the test "
                                                      "photos, the most confident first.", show_default=False)] = None,
            class_name: Annotated[str | None, typer.Option("--class", help="Explain test photos of this class alone.",
                                                           show_default=False)] = None,
            target: Annotated[str | None, typer.Option(help="Explain the score of this class.",
                                                       show_default="the class answered")] = None,
            method: Annotated[str | None, Late(_method_option)] = None,
            score: Annotated[str | None, typer.Option(help="What of the class: logit, or probability.",
                                                      show_default="what the method explains by itself")] = None,
            layer: Annotated[str | None, typer.Option(
                help="Look at this layer of the network; its framework must be installed.",
                show_default="the last before pooling")] = None,
            faithfulness: Annotated[int | None, typer.Option(
                min=1, help="Measure on so many test photos whether the heat maps are faithful, beside random and "
                "centred ones; some 80 predictions a photo.", show_default=False)] = None,
            galleries: Annotated[bool, typer.Option(
                "--galleries", help="Write the most confident mistakes, the least sure hits, and photos of each class "
                "and confused pair, with heat maps, as data.")] = False,
            data: MovedPhotos = None, models: Models = None, quiet: Quiet = False) -> None:
    """Draw heat maps of what the models looked at: of test photos, or of PHOTOS, into the run's reports/.

    Examples: matlens explain last photo.jpg

    matlens explain last --worst 12
    """
    from matlens.errors import ModelError, SettingsError
    from matlens.explanation.explain import explain_run
    from matlens.explanation.registry import DEFAULT_METHOD
    from matlens.explanation.request import Request, answer
    from matlens.jobs.measure import make_galleries, measure_faithfulness
    from matlens.jobs.run import summarise
    from matlens.runs.places import files_named, refuse_missing
    from matlens.runs.run import Run
    from matlens.system.console import Reporter

    asked = tuple(files_named((*(photos or ()), *(images or ()))))
    request = Request(asked, worst, class_name, target, method or DEFAULT_METHOD, score, layer)
    refuse_missing(asked)
    on_request = faithfulness is not None or galleries
    if on_request and not request.names_method_alone:
        raise SettingsError("--faithfulness and --galleries explain the answers by the score that the method explains "
                            "by itself, at the last layer: leave out --images, --worst, --class, --target, --score "
                            "and --layer.")
    reporter, opened = Reporter(quiet), with_photos_in(
        data, Run.open(run), needed=not asked, words="explain")
    names = opened.trained_models(chosen_models(models))
    if cost := request.explainer.predictions_per_photo:
        reporter.say(f"{request.explainer.title} makes {cost:,} predictions for each photo and model.")
    if galleries:
        make_galleries(opened, names, request.method, reporter)
    if faithfulness is not None:
        measure_faithfulness(opened, names, faithfulness, request.method, reporter)
    if not on_request and not request.is_plain:
        if refused := answer(opened, names, request, reporter.result, reporter.say):
            raise ModelError("\n".join(map(str, refused)))
        return
    if not on_request:
        for name in names:
            reporter.result(str(explain_run(opened, name)))
    summarise(opened)
    reporter.say(f"  the report shows them: {opened.path / 'report.html'}")
