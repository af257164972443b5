"""Measure how faithful the heat maps of a run's model are."""

from __future__ import annotations

import numpy as np

from matlens.data.batches import read_pixels
from matlens.data.pixels.reader import PhotoReader
from matlens.errors import ModelError
from matlens.evaluation.choice import drawn_evenly
from matlens.evaluation.inference.groups import Groups
from matlens.explanation.artifact_model import ArtifactModel
from matlens.explanation.faithfulness.curves import measure
from matlens.explanation.faithfulness.results import Faithfulness
from matlens.explanation.on_request import digest_of
from matlens.explanation.registry import DEFAULT_METHOD, EXPLAINERS, question_for
from matlens.runs.run import Run
from matlens.types import Progress, unheard
from matlens.workers.trained import trained_artifact


def judge_heat_maps(run: Run, name: str, n: int, method: str = DEFAULT_METHOD, on_progress: Progress = unheard,
                    ) -> Faithfulness:
    """Measure a model's heat maps on up to `n` test photos, drawn from the classes in turn, and write the result.

    method: the name of a registered explanation method.

    Raises:
        SettingsError: no such method.
        ModelError: the heat maps have one place, so there is nothing to rank.
        DataError or ResultsError: a photo or the model cannot be read.
    """
    explainer = EXPLAINERS[method]
    split, settings = run.split, run.settings
    artifact = trained_artifact(run, name)
    test_photos = split.part("test")
    labels = split.labels(test_photos)
    chosen = drawn_evenly(labels, n, settings.seed)
    reader = PhotoReader(artifact.img_size, settings.keep_truncated)
    photos = np.concatenate(list(read_pixels(run.data_root, [test_photos[index] for index in chosen], reader)))
    model = ArtifactModel.of_run(run, artifact)
    heat, probabilities = explainer.maps(model, photos, question_for(explainer))
    if heat[0].size == 1:
        raise ModelError(f"The feature maps of {name} have one place at {artifact.img_size[0]} x "
                         f"{artifact.img_size[1]} px, so its heat maps show nothing that could be judged. Train it on "
                         "larger photos (--img-size).")
    seeds = [int(test_photos[index].sha256[:15], 16) for index in chosen]
    curves_by_map = measure(photos, heat, probabilities.argmax(axis=1), artifact.predict, seeds, method,
                            on_progress)
    faithfulness = Faithfulness.from_curves(curves_by_map, labels[chosen], split.class_names, name, method,
                                            digest_of(artifact.folder), Groups.of(split.groups_of(
                                                [test_photos[index] for index in chosen])))
    faithfulness.write_into(run.paths)
    return faithfulness
