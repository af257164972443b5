"""From photos in [0, 1] to what a network was trained on, as layers that Keras' safe mode opens."""

from functools import singledispatch

import keras
import numpy as np

from matlens.models.preprocess import CaffeMeans, Preprocess, Scale, Standardise


@singledispatch
def preprocessing_layer(preprocess: Preprocess) -> keras.layers.Layer:
    """Return the layer that computes `preprocess` of photos (B, H, W, 3) in [0, 1]."""
    raise TypeError(f"no layer computes {preprocess!r}")


@preprocessing_layer.register
def _(preprocess: CaffeMeans) -> keras.layers.Layer:
    """One fixed 1 x 1 convolution of 9 + 3 numbers."""
    kernel = np.zeros((1, 1, 3, 3), dtype=np.float32)
    for channel in range(3):
        kernel[0, 0, 2 - channel, channel] = 255.0
    layer = keras.layers.Conv2D(3, 1, name="caffe_preprocessing", trainable=False)
    layer.build((None, None, None, 3))
    layer.set_weights([kernel, -np.array(preprocess.means, dtype=np.float32)])
    return layer


@preprocessing_layer.register
def _(preprocess: Scale) -> keras.layers.Layer:
    """From the unit range; mode "tf" of keras.applications.imagenet_utils is to [-1, 1]."""
    low, high = float(preprocess.low), float(preprocess.high)
    return keras.layers.Rescaling(high - low, offset=low, name="unit_preprocessing")


@preprocessing_layer.register
def _(preprocess: Standardise) -> keras.layers.Layer:
    """By channel; mode "torch" of keras.applications.imagenet_utils."""
    return keras.layers.Rescaling([1 / deviation for deviation in preprocess.deviation], name="channel_preprocessing",
                                  offset=[-mean / deviation for mean, deviation in
                                          zip(preprocess.mean, preprocess.deviation, strict=True)])
