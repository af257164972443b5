"""What a Keras backbone gives with `--features multi`: statistics of its layers, worked out in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.keras

SIDE = 32


@pytest.fixture(scope="module")
def networks(keras):
    """A backbone of three stages and a widening layer, and the same with statistics."""
    from matlens.models.keras.networks.statistics import with_statistics

    keras.utils.set_random_seed(0)
    x = image = keras.Input((SIDE, SIDE, 3))
    for name, filters in (("first", 4), ("second", 6), ("third", 8)):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu", name=name)(x)
    x = keras.layers.Conv2D(10, 1, name="wide")(x)
    backbone = keras.Model(image, keras.layers.GlobalAveragePooling2D(name="avg_pool")(x), name="small")
    return backbone, with_statistics(backbone)


def test_the_features_are_mean_and_deviation_of_each_stage(keras, networks):
    """In the order that docs name; the deviation comes from layers that Keras has."""
    backbone, probed = networks
    photos = np.random.default_rng(0).random((3, SIDE, SIDE, 3), dtype=np.float32)
    names = ("first", "second", "third", "wide")
    maps = keras.Model(backbone.inputs, [backbone.get_layer(name).output for name in names]).predict(photos, verbose=0)
    first, second, third, wide = maps
    wanted = [wide.mean((1, 2)), *(
        values for stage in (first, second, third) for values in (stage.mean((1, 2)), stage.std((1, 2))))]
    np.testing.assert_allclose(probed.predict(photos, verbose=0), np.concatenate(wanted, axis=1), atol=2e-5)


def test_its_file_is_read_by_keras_alone_and_its_head_knows_the_places(keras, networks, tmp_path):
    """The model file of the guide is for those who have no matlens."""
    from matlens.models.keras.cut import find_cut, head_of

    image = keras.Input((SIDE, SIDE, 3))
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(networks[1](image)), name="probed")
    photos = np.random.default_rng(1).random((2, SIDE, SIDE, 3), dtype=np.float32)
    model.save(tmp_path / "model.h5")
    again = keras.models.load_model(tmp_path / "model.h5", compile=False)
    np.testing.assert_array_equal(again.predict(photos, verbose=0), model.predict(photos, verbose=0))
    head, cut = head_of(find_cut(again)), find_cut(again)
    assert (head.pooling, head.places, cut.last_layer_name) == ("statistics", 10, "wide")
