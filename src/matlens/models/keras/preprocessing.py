"""From the guide's [0, 1] RGB to what each backbone was trained on, as layers that Keras' safe mode opens."""

import keras
import numpy as np

CAFFE_MEANS_BGR = (103.939, 116.779, 123.68)
"""ImageNet's channel means, as in keras.applications.imagenet_utils (mode "caffe")."""


def caffe_layer() -> keras.layers.Layer:
    """[0, 1] RGB to BGR in [0, 255] less the means: one fixed 1 x 1 convolution of 9 + 3 numbers."""
    kernel = np.zeros((1, 1, 3, 3), dtype=np.float32)
    for channel in range(3):
        kernel[0, 0, 2 - channel, channel] = 255.0
    layer = keras.layers.Conv2D(3, 1, name="caffe_preprocessing", trainable=False)
    layer.build((None, None, None, 3))
    layer.set_weights([kernel, -np.array(CAFFE_MEANS_BGR, dtype=np.float32)])
    return layer


def unit_range_layer() -> keras.layers.Layer:
    """[0, 1] to [-1, 1] (mode "tf" of keras.applications.imagenet_utils)."""
    return keras.layers.Rescaling(2.0, offset=-1.0, name="unit_preprocessing")
