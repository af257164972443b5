"""A Keras backbone that gives the statistics of several depths besides its last map (`models.heads.stages`).

All of it are layers of Keras' own, so the model's `.h5` is read by Keras alone.
"""

import keras
from keras import layers

from matlens.models.heads.stages import SMALLEST, ends_of_stages
from matlens.models.keras.cut import STATISTICS
from matlens.models.keras.finetuning import depths_of


def with_statistics(backbone: keras.Model) -> keras.Model:
    """Return the backbone, photos to averaged features, with statistics among its features."""
    depths = depths_of(backbone)
    last, ends = depths[-1].name, ends_of_stages(depths)
    x = backbone.get_layer(last).output
    stages: list[keras.KerasTensor] = []
    for name in ends:
        output = backbone.get_layer(name).output
        mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{STATISTICS}_{name}_mean")(output)
        if name != last:  # its mean is the pooled map itself
            stages.append(mean)
        stages.append(_deviation(output, mean, f"{STATISTICS}_{name}"))
    height, width = x.shape[1:3]
    everywhere = layers.UpSampling2D((height, width), name=f"{STATISTICS}_everywhere")(
        layers.Concatenate(name=f"{STATISTICS}_of_stages")(stages))
    x = layers.Concatenate(name=STATISTICS)([x, everywhere])
    return keras.Model(backbone.inputs[0], layers.GlobalAveragePooling2D(name=f"{STATISTICS}_pool")(x),
                       name=backbone.name)


def _deviation(x: keras.KerasTensor, mean: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Return the standard deviation over places, (B, 1, 1, K).

    Keras has no layer for a root: normalised by its channels, a map is the centred one over the deviation, and the mean
    of the product of the two is the deviation.
    """
    centred = layers.Subtract(name=f"{name}_centred")([x, mean])
    normalised = layers.GroupNormalization(groups=-1, epsilon=SMALLEST, center=False, scale=False,
                                           name=f"{name}_normalised")(x)
    product = layers.Multiply(name=f"{name}_product")([centred, normalised])
    return layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_deviation")(product)
