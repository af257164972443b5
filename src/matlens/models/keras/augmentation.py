"""The guide's augmentation as Keras layers."""

import keras
from keras import layers


def augmentation_layer() -> keras.Sequential:
    """Build it; see `notebook.builders.get_augmentation_layer`."""
    return keras.Sequential([
        layers.RandomFlip("horizontal"),
        layers.RandomRotation(0.1),
        layers.RandomZoom(0.1),
        layers.RandomTranslation(0.1, 0.1),
        layers.RandomContrast(0.1, value_range=(0, 1)),
    ], name="augmentation")
