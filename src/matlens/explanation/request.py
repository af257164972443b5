"""What `matlens explain` is asked for, and the pictures that answer it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matlens.errors import ModelError, SettingsError
from matlens.evaluation.choice import chosen_for_grid, confident_mistakes
from matlens.evaluation.predictions import Predictions
from matlens.explanation.artifact_model import ArtifactModel
from matlens.explanation.explain import explain_files, explain_positions
from matlens.explanation.explained import ExplainedPhoto
from matlens.explanation.explainer import Explainer
from matlens.explanation.grid import plot_explained_grid
from matlens.explanation.registry import DEFAULT_METHOD, EXPLAINERS, question_for
from matlens.explanation.side_by_side import SIDE_BY_SIDE, plot_side_by_side
from matlens.models.registry import spec_of
from matlens.runs.run import Run
from matlens.system.console import printable
from matlens.system.figures import elided
from matlens.system.registry import did_you_mean
from matlens.workers.trained import trained_artifact


@dataclass(frozen=True)
class Request:
    """Which photos to explain, and how.

    images: files; without any, test photos of the run.
    worst: only mistakes, so many, the most confident first.
    class_name: only test photos of this class.
    target: explain this class' score instead of the answer's.
    method: the name of a registered explanation method.
    score: logit or probability; None for what the method explains by itself.
    layer: at which layer to look; by default the trunk's last, where no framework is needed.

    Raises:
        SettingsError: no such method or score, or options that do not go together.
    """

    images: tuple[Path, ...] = ()
    worst: int | None = None
    class_name: str | None = None
    target: str | None = None
    method: str = DEFAULT_METHOD
    score: str | None = None
    layer: str | None = None

    def __post_init__(self) -> None:
        question_for(self.explainer, score=self.score, layer=self.layer)
        if self.images and (self.worst is not None or self.class_name is not None):
            raise SettingsError("--worst and --class choose among the run's test photos, --images names others: give "
                                "one or the other. To explain the score of a class, there is --target.")

    @property
    def explainer(self) -> Explainer:
        """The method that explains. Raises SettingsError where none has that name."""
        return EXPLAINERS[self.method]

    @property
    def is_plain(self) -> bool:
        """Whether it asks for what every run has: the default method on some test photos."""
        return self.names_method_alone and self.method == DEFAULT_METHOD

    @property
    def names_method_alone(self) -> bool:
        """Whether it chooses no photos, class or layer, and no score other than the method's own."""
        return not (self.images or self.worst is not None or self.class_name is not None or self.target or self.layer
                    or self._other_score)

    @property
    def kind(self) -> str:
        """The kind of its picture, for the file's name: `gradcam`, `gradcam_images`, `hirescam_worst_wood`, ..."""
        chosen = "images" if self.images else "worst" if self.worst is not None else None
        parts = (self.method, self._other_score, chosen, self.class_name, self.target and f"for_{self.target}",
                 self.layer and f"at_{self.layer}")
        return "_".join(re.sub(r"[^\w.+-]+", "-", part)[:60] for part in parts if part)

    @property
    def title(self) -> str:
        """What the heat maps are, for a picture's title."""
        return "".join((self.explainer.title, f" at {elided(self.layer)}" if self.layer else "",
                        f" for {elided(self.target)}" if self.target else ""))

    @property
    def _other_score(self) -> str | None:
        """The score, where it is not the one that the method explains by itself."""
        return self.score if self.score != self.explainer.scores[0] else None


def answer(run: Run, names: Sequence[str], request: Request, tell: Callable[[str], None],
           say: Callable[[str], None]) -> list[ModelError]:
    """Draw a grid for each model and, where several explained photos by name, a picture of all side by side.

    tell: is given each picture's path, or why there is none. say: what a model answers of each photo of `images`.

    Returns:
        Why models were not explained, such as one without the layer that is asked for; the others are.

    Raises:
        SettingsError: no such class.
        DataError or ResultsError: a photo, or a model's predictions, cannot be read.
    """
    explained_by_title: dict[str, list[ExplainedPhoto]] = {}
    refused = []
    for name in names:
        try:
            explained = _explained(run, name, request)
        except ModelError as error:
            refused.append(error)
            continue
        if not explained:
            tell(f"{name}: no {'mistake' if request.worst else 'photo'} among the test photos"
                 + (f" of {request.class_name}" if request.class_name else ""))
            continue
        title = spec_of(name).title
        explained_by_title[title] = explained
        path = run.paths.picture(name, request.kind)
        plot_explained_grid(explained, request.title, title, path)
        for place, photo in zip(request.images, explained, strict=False):
            say(printable(f"  {name}: {place}: {photo.predicted}, {100 * photo.probability:.1f} %"))
        tell(str(path))
    if request.images and len(explained_by_title) > 1:
        path = run.paths.picture(SIDE_BY_SIDE, request.kind)
        plot_side_by_side(explained_by_title, request.title, path)
        tell(str(path))
    return refused


def _explained(run: Run, name: str, request: Request) -> list[ExplainedPhoto]:
    artifact = trained_artifact(run, name)
    model = ArtifactModel.of_run(run, artifact, request.layer)
    target = class_number(artifact.class_names, request.target, "--target")
    question = question_for(request.explainer, target, request.score, request.layer)
    if request.images:
        return explain_files(model, request.images, [None] * len(request.images), request.explainer, question)
    of_class = class_number(artifact.class_names, request.class_name, "--class")
    predictions = Predictions.read(run.paths.predictions_file(name))
    chosen = (chosen_for_grid(predictions, of_class=of_class) if request.worst is None
              else confident_mistakes(predictions, request.worst, of_class))
    return explain_positions(run, model, predictions, chosen, request.explainer, question) if chosen else []


def class_number(class_names: Sequence[str], wanted: str | None, option: str) -> int | None:
    """Return the number of a class by its name, None for None. Raises SettingsError, which names the classes."""
    if wanted is None:
        return None
    if wanted not in class_names:
        raise SettingsError(f"{option} {wanted}: the run has no such class.{did_you_mean(wanted, class_names)} It "
                            f"knows {', '.join(class_names)}.")
    return list(class_names).index(wanted)
