"""What `matlens explain` is asked for, and the pictures that answer it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from matlens.errors import SettingsError
from matlens.evaluation.choice import chosen_for_grid, confident_mistakes
from matlens.evaluation.predictions import Predictions
from matlens.explanation.displays import plot_gradcam_grid
from matlens.explanation.explain import Explained, How, explain_files, explain_positions
from matlens.explanation.layers import at_layer
from matlens.explanation.methods import METHODS, TITLES, MethodName
from matlens.explanation.side_by_side import plot_side_by_side
from matlens.features.artifact import Artifact
from matlens.models.head import Score
from matlens.models.registry import spec_of
from matlens.runs.run import Run
from matlens.system.figures import elided


@dataclass(frozen=True)
class Request:
    """Which photos to explain, and how.

    images: files; without any, test photos of the run.
    worst: only mistakes, so many, the most confident first.
    class_name: only test photos of this class.
    target: explain this class' score instead of the answer's.
    layer: at which layer to look; by default the trunk's last, where no framework is needed.
    """

    images: tuple[Path, ...] = ()
    worst: int | None = None
    class_name: str | None = None
    target: str | None = None
    method: MethodName = "gradcam"
    score: Score = "logit"
    layer: str | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SettingsError(f"--method {self.method}: there are {', '.join(METHODS)}.")
        if self.score not in get_args(Score):
            raise SettingsError(f"--score {self.score}: there are {', '.join(get_args(Score))}.")
        if self.score == "probability" and (self.layer or self.method == "gradcam++"):
            raise SettingsError("--score probability goes with --method gradcam or hirescam, at the model's last "
                                "layer: leave out --layer and --method gradcam++, or explain the logit.")
        if self.images and (self.worst is not None or self.class_name is not None):
            raise SettingsError("--worst and --class choose among the run's test photos, --images names others: give "
                                "one or the other. To explain the score of a class, there is --target.")

    @property
    def is_plain(self) -> bool:
        """Whether it is for what every run has: Grad-CAM of some test photos."""
        return self == Request()

    @property
    def chooses_photos(self) -> bool:
        """Whether it names photos, or says which test photos."""
        return bool(self.images) or self.worst is not None or self.class_name is not None

    @property
    def kind(self) -> str:
        """For a picture's name: `gradcam`, `gradcam_images`, `hirescam_worst_wood`, ..."""
        chosen = "images" if self.images else "worst" if self.worst is not None else None
        parts = (self.method, self.score if self.score != "logit" else None, chosen, self.class_name,
                 self.target and f"for_{self.target}", self.layer and f"at_{self.layer}")
        return "_".join(re.sub(r"[^\w.+-]+", "-", part)[:60] for part in parts if part)

    @property
    def title(self) -> str:
        """What the heat maps are, for a picture's title."""
        return "".join((TITLES[self.method], f" at {elided(self.layer)}" if self.layer else "",
                        f" for {elided(self.target)}" if self.target else ""))


def answer(folder: Run, names: Sequence[str], request: Request, tell: Callable[[str], None]) -> None:
    """Draw a grid for each model and, where several explained photos by name, one picture of all side by side.

    tell: is given each picture's path, or why there is none.

    Raises:
        SettingsError: no such class.
        DataError, ModelError or ResultsError: what is there cannot be read or explained.
    """
    explained: dict[str, list[Explained]] = {}
    for name in names:
        found = _explained(folder, name, request)
        if not found:
            tell(f"{name}: no {'mistake' if request.worst else 'photo'} among the test photos"
                 + (f" of {request.class_name}" if request.class_name else ""))
            continue
        title = spec_of(name).title
        explained[title] = found
        path = folder.paths.picture(name, request.kind)
        plot_gradcam_grid(found, title, path, what=request.title)
        tell(str(path))
    if request.images and len(explained) > 1:
        path = folder.paths.picture("side_by_side", request.kind)
        plot_side_by_side(explained, path, request.title)
        tell(str(path))


def _explained(folder: Run, name: str, request: Request) -> list[Explained]:
    artifact = Artifact.open(folder.paths.artifact(name))
    how = How(request.method, request.score, class_number(artifact.class_names, request.target, "--target"),
              at_layer(folder, name, request.layer, request.method) if request.layer else None)
    if request.images:
        return explain_files(artifact, request.images, [None] * len(request.images), how)
    of_class = class_number(artifact.class_names, request.class_name, "--class")
    predictions = Predictions.read(folder.paths.predictions_file(name))
    chosen = (chosen_for_grid(predictions, of_class=of_class) if request.worst is None
              else confident_mistakes(predictions, request.worst, of_class))
    return explain_positions(folder, artifact, predictions, chosen, how) if chosen else []


def class_number(class_names: Sequence[str], wanted: str | None, option: str) -> int | None:
    """The number of a class by its name; None for None. Raises SettingsError, which names the classes."""
    if wanted is None:
        return None
    if wanted not in class_names:
        raise SettingsError(f"{option} {wanted}: the run knows {', '.join(class_names)}.")
    return list(class_names).index(wanted)
