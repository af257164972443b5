"""VGG19 as the guide has it (Simonyan and Zisserman 2014, configuration E)."""

import keras
from keras import layers, regularizers

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))
"""(filters, convolutions) of each block."""


def vgg19(image: keras.KerasTensor, num_classes: int, dropout_rate: float = 0.5, l2_reg: float = 1e-4,
          ) -> keras.KerasTensor:
    """Put VGG19's layers on photos (B, H, W, 3); see `notebook.builders.build_vgg19_scratch`."""
    penalty = regularizers.L2(l2_reg)
    x = image
    for block, (filters, convolutions) in enumerate(BLOCKS, 1):
        for number in range(1, convolutions + 1):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal",
                              kernel_regularizer=penalty, name=f"block{block}_conv{number}")(x)
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    for number in (1, 2):
        x = layers.Dense(4096, activation="relu", kernel_initializer="he_normal", kernel_regularizer=penalty,
                         name=f"fc{number}")(x)
        x = layers.Dropout(dropout_rate, name=f"dropout{number}")(x)
    return layers.Dense(num_classes, activation="softmax", kernel_initializer="he_normal", kernel_regularizer=penalty,
                        name="predictions")(x)
