"""The table of keras.applications against the version that is installed: nothing in it is believed."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from matlens.models.library import LIBRARIES
from matlens.models.registry import MODELS

pytestmark = pytest.mark.keras

NAMES = LIBRARIES["keras"].names()
SIDE = 224
QUICK = ("VGG16", "MobileNetV3Small")

JOINING = ("Add", "Concatenate")
WITHOUT_JOINING = ("MaxPooling2D",)


class Asked(BaseException):
    """Raised in place of a download."""


def function_of(keras: Any, name: str) -> Any:
    return getattr(keras.applications, name)


def test_every_application_is_in_the_table(keras):
    """One that a new Keras brings would be missed in silence, one that it drops would fail in the midst of a run."""
    assert {name for name in dir(keras.applications) if name[0].isupper()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_its_preprocessing_is_the_applications_own(keras, name):
    """A network that is fed with another range answers, but knows little."""
    from matlens.models.keras.preprocessing import preprocessing_layer

    photos = np.random.default_rng(0).random((2, 8, 8, 3), dtype=np.float32)
    own = sys.modules[function_of(keras, name).__module__].preprocess_input
    expected = np.asarray(own((photos * 255).copy()))
    if name.startswith("EfficientNetB"):  # whose own normalisation inside is left out: see the next test
        expected = 255 * (expected / 255 - MEAN) / DEVIATION
    computed = keras.ops.convert_to_numpy(preprocessing_layer(MODELS[f"keras/{name}"].preprocess)(photos))
    np.testing.assert_allclose(computed, expected, atol=1e-3)


MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def test_efficientnet_sees_what_keras_shows_it(keras, monkeypatch):
    """Keras divides by the deviation twice, but once only where it does not find the weights by itself.

    The published weights hold ImageNet's means, and its deviations in the place of variances.
    """
    from matlens.models.keras.networks.applications import backbone_of
    from matlens.models.keras.preprocessing import preprocessing_layer

    spec = MODELS["keras/EfficientNetB0"]
    photos = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    ours = backbone_of(spec, None, include_top=False, input_shape=(32, 32, 3))
    module = sys.modules[keras.applications.EfficientNetB0.__module__]
    monkeypatch.setattr(module, "file_utils", SimpleNamespace(get_file=lambda *_, **__: "", exists=lambda _: True))
    monkeypatch.setattr(keras.Model, "load_weights", lambda *_: None)
    theirs = keras.applications.EfficientNetB0(include_top=False, weights="imagenet", input_shape=(32, 32, 3))
    scaling = next(layer for layer in theirs.layers if isinstance(layer, keras.layers.Normalization))
    scaling.set_weights([np.float32(MEAN), np.float32(DEVIATION), np.array(1)][:len(scaling.weights)])
    scaling.finalize_state()
    seen = [keras.ops.convert_to_numpy(keras.Model(network.inputs[0], network.get_layer("stem_conv_pad").input)(shown))
            for network, shown in ((theirs, photos * 255), (ours, preprocessing_layer(spec.preprocess)(photos)))]
    np.testing.assert_allclose(seen[1], seen[0], atol=1e-4)
    np.testing.assert_allclose(seen[0], (photos - MEAN) / DEVIATION, atol=1e-4)


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.families)
                                  for name in NAMES])
def test_its_weights_and_sizes_are_those_of_the_sources(keras, monkeypatch, name):
    """A file of another network, or another name in the cache of Keras, would be downloaded anew or not fit."""
    from keras.src.applications import imagenet_utils
    from keras.src.utils import file_utils

    spec, function, asked = MODELS[f"keras/{name}"], function_of(keras, name), {}
    of_shape = imagenet_utils.obtain_input_shape

    def get_file(fname: str, origin: str, cache_subdir: str, file_hash: str | None = None) -> None:
        asked.update(name=fname, url=origin, folder=cache_subdir, hash=file_hash or "")
        raise Asked

    def obtain_input_shape(input_shape: Any, default_size: int, min_size: int, **more: Any) -> Any:
        asked.update(side=default_size, smallest=min_size)
        return of_shape(input_shape, default_size=default_size, min_size=min_size, **more)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    monkeypatch.setattr(imagenet_utils, "obtain_input_shape", obtain_input_shape)
    with keras.StatelessScope(), pytest.raises(Asked):
        function(include_top=False, weights="imagenet", input_shape=(SIDE, SIDE, 3))
    file = spec.weights_files({}, SIDE)[0]
    assert (file.name, file.url, file.hash.rpartition(":")[2], "models") == (
        asked["name"], asked["url"], asked["hash"], asked["folder"])
    assert (spec.published_side, spec.smallest_side) == (asked.get("side", SIDE), asked.get("smallest", 32))


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.families)
                                  for name in NAMES])
def test_its_cut_follows_the_rule(keras, name):
    """`strong` trains the last stage: a cut elsewhere costs more than it wins, or trains next to nothing."""
    from matlens.models.keras.finetuning import single_tensors
    from matlens.models.keras.networks.applications import backbone_of

    spec = MODELS[f"keras/{name}"]
    with keras.StatelessScope():
        backbone = backbone_of(spec, None, include_top=False, input_shape=(SIDE, SIDE, 3))
        image = keras.Input((SIDE, SIDE, 3))
        model = keras.Model(image, keras.layers.Dense(2)(backbone(image)))
    layers = [backbone.get_layer(cut) for cut in single_tensors(model)]
    wide = [layer for layer in layers if layer.output.shape[1] > layers[-1].output.shape[1]
            and not isinstance(layer, keras.layers.ZeroPadding2D)]
    kinds = [type(layer).__name__ for layer in wide]
    for wanted in (JOINING, WITHOUT_JOINING, set(kinds)):
        if places := [number for number, kind in enumerate(kinds) if kind in wanted]:
            place = places[-1] + (kinds[places[-1] + 1:places[-1] + 2] == ["Activation"])
            break
    assert spec.strong_cut == wide[place].name
