"""What Keras computes for matlens on one of its back ends: `python back_end_contract.py ANSWERS.npz`.

The back end is KERAS_BACKEND's. With others than TensorFlow it is started where TensorFlow cannot be imported
(tests/without).
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

BACK_END = os.environ["KERAS_BACKEND"]

SIDE, CLASSES, CUT = 16, 3, "joined"
RNG = np.random.default_rng(5)
PIXELS = RNG.integers(0, 256, (10, SIDE, SIDE, 3), dtype=np.uint8)
PHOTOS = PIXELS.astype(np.float32) / np.float32(255)
LABELS = RNG.integers(0, CLASSES, 10)
TARGETS = np.eye(CLASSES, dtype=np.float32)[LABELS]
TIMES = np.array([2, 1, 4, 1])
WEIGHTED = [(PHOTOS[:4], TARGETS[:4] * (TIMES / TIMES.mean()).astype(np.float32)[:, None])]
"""Photos that weigh as much in the loss as if they came so many times."""
BATCHES = [(PHOTOS[:4], TARGETS[:4]), (PHOTOS[4:8], TARGETS[4:8]), (PHOTOS[8:], TARGETS[8:])]


def spec(name, dropout):
    """Return a model with a residual block, normalisation, dropout and a penalty on its weights."""
    from matlens.models.preprocess import Scale
    from matlens.models.spec import ModelSpec

    def network(order):
        from keras import layers, regularizers

        def layers_of(image):
            x = layers.Conv2D(6, 3, padding="same", name="first")(image)
            x = layers.BatchNormalization(name="normal")(x)
            x = layers.ReLU(name="active")(x)
            y = layers.DepthwiseConv2D(3, padding="same", name="inner")(x)
            x = layers.Add(name="joined")([x, y])
            x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="last")(x)
            x = layers.GlobalAveragePooling2D()(x)
            x = layers.Dense(8, activation="relu", kernel_regularizer=regularizers.L2(1e-2))(x)
            x = layers.Dropout(dropout)(x)
            return layers.Dense(order.num_classes, activation="softmax")(x)

        return layers_of

    return ModelSpec(name, "Small", "keras", network=network, preprocess=Scale(-1, 1), learning_rate=1e-3,
                     smallest_side=SIDE)


def unseen(step, read):
    """No progress."""


def build(name):
    """Return a classifier with weights that are the same on every back end."""
    from matlens.models.protocol import BuildOrder, room_of
    from matlens.models.seeding import seed_everything

    seed_everything(3, room=room_of(name))  # layers draw their seeds when they are made
    classifier = room_of(name).build(BuildOrder(name, CLASSES, (SIDE, SIDE), precision="auto"))
    rng = np.random.default_rng(7)
    names = [variable.path.rpartition("/")[2] for variable in classifier.model.weights]
    classifier.restore([
        np.ones(values.shape, np.float32) if kind in ("gamma", "moving_variance") else
        (rng.normal(size=values.shape) / np.sqrt(max(1, values.size / values.shape[-1]))).astype(np.float32)
        for kind, values in zip(names, classifier.snapshot(), strict=True)])
    return classifier


def flat(arrays):
    return np.concatenate([np.ravel(values) for values in arrays])


def frozen(name):
    """Return a classifier whose batch normalisation is not trained, which sees a part of a batch at a time."""
    classifier = build(name)
    for layer in classifier.model.layers:
        layer.trainable = layer.name != "normal"
    return classifier


def assert_weight_is_repetition():
    """A photo of weight w must be w photos: the same loss, and the same moments of Adam, which are gradients."""
    for limit in (None, 2):
        weighted, repeated = frozen("small"), frozen("small")
        weighted.micro_batches.limit(limit)
        again = np.repeat(np.arange(4), TIMES)
        losses = [weighted.train_epoch(WEIGHTED, unseen).loss,
                  repeated.train_epoch([(PHOTOS[again], TARGETS[again])], unseen).loss]
        assert abs(losses[0] - losses[1]) < 1e-5 * losses[1], losses
        state, expected = weighted.training_state(), repeated.training_state()
        for name, values in expected.items():
            if name.endswith("momentum"):
                np.testing.assert_allclose(state[name], values, rtol=1e-3, atol=1e-6 * np.abs(values).max(),
                                           err_msg=f"{name}, {limit} at once")
        assert any(name.endswith("momentum") for name in expected)


def answers():
    """Return by name what is the same on every back end, but for rounding."""
    classifier, found = build("small"), {}
    found["probabilities"] = classifier.predict(PHOTOS)
    found["maps"], found["maps_at_cut"] = classifier.features(PHOTOS), classifier.features(PHOTOS, CUT)
    found["pooled"] = classifier.features_of(PIXELS, None, True)
    found["maps_of_bytes"] = classifier.features_of(PIXELS, CUT, False)
    for layer in ("last", "inner", "first"):
        _, found[f"gradients_{layer}"] = classifier.features_and_gradients(PHOTOS, LABELS, layer)
    before = classifier.validate(BATCHES)
    found["untrained"] = np.array([before.loss, before.accuracy])
    found["losses"] = flat([classifier.train_epoch(BATCHES, unseen).loss for _ in range(2)])
    found["weights"] = flat(classifier.snapshot())
    average = classifier.average()
    average.set([0 * values for values in average.weights()])
    average.update(0.75)
    found["quarter"] = flat(average.weights())
    classifier.recompute_statistics(BATCHES)
    found["trained"] = flat(classifier.validate(BATCHES, macro_f1=True).__dict__.values())
    parts = frozen("small")
    parts.use_adamw(0.05)
    parts.micro_batches.limit(3)
    found["loss_in_parts"] = flat([parts.train_epoch(BATCHES, unseen).loss for _ in range(2)])
    for limit in (None, 2):
        weighted = frozen("small")
        weighted.micro_batches.limit(limit)
        found[f"loss_weighted_{limit}"] = flat([weighted.train_epoch(WEIGHTED, unseen).loss for _ in range(2)])
        found[f"weights_weighted_{limit}"] = flat(weighted.snapshot())
    rest = build("small").after(CUT)
    activations = [(found["maps_at_cut"][:8], TARGETS[:8])]
    found["loss_after_cut"] = flat([rest.train_epoch(activations, unseen).loss for _ in range(2)])
    return found


def check():
    """Hold what must be so on one back end by itself."""
    from matlens.features.engine import TrunkEngine
    from matlens.models.head import softmax
    from matlens.models.protocol import BuildOrder, room_of
    from matlens.types import BytePhotos

    assert_weight_is_repetition()
    classifier, room = build("dropping"), room_of("dropping")
    assert BACK_END in room.versions()
    assert room.preflight("cpu").device == "cpu"
    assert str(classifier.device) == "cpu"
    maps = classifier.features(PHOTOS)
    with tempfile.TemporaryDirectory() as folder:
        for until in (None, CUT):
            head = classifier.export_trunk(Path(folder), until)
            exported = TrunkEngine(Path(folder) / "trunk.xml").features(PHOTOS)
            np.testing.assert_allclose(exported, classifier.features(PHOTOS, until), atol=1e-5)
        np.testing.assert_allclose(softmax(head.forward(maps)[-1]), classifier.predict(PHOTOS), atol=1e-5)
        file = Path(folder) / "model.h5"
        classifier.save(file, {"class_names": ["a", "b", "c"]})
        again = room.load(file, BuildOrder("dropping", CLASSES, (SIDE, SIDE)))
        np.testing.assert_allclose(again.predict(PHOTOS), classifier.predict(PHOTOS), atol=1e-6)

    warps = np.tile(np.array([[0.9, 0.1, 2.0], [-0.1, 1.1, -3.0]]), (10, 1, 1))
    contrasts = np.linspace(0.9, 1.1, 10, dtype=np.float32)
    plain, varied = BytePhotos(PIXELS), BytePhotos(PIXELS, warps, contrasts)
    same = [build("small").train_epoch([(photos, TARGETS)], unseen).loss for photos in (PHOTOS, plain)]
    assert abs(same[0] - same[1]) < 1e-5
    import cv2

    host = np.stack([cv2.warpAffine(photo, warps[0], (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                                    borderMode=cv2.BORDER_REFLECT) for photo in PHOTOS])
    means = host.mean((1, 2), keepdims=True)
    host = np.clip((host - means) * contrasts[:, None, None, None] + means, 0, 1)
    import keras

    from matlens.models.keras.backends import backend

    device = keras.ops.convert_to_numpy(backend().as_input(varied))
    assert (np.abs(device - host) <= 2 / 255).mean() > 0.99  # OpenCV interpolates with 5 bits of fraction

    whole, first, second = build("dropping"), build("dropping"), build("dropping")
    for one in (whole, first):
        one.train_epoch(BATCHES, unseen)
        one.learning_rate = 3e-4
    second.resume(first.snapshot(), first.training_state())
    assert abs(second.learning_rate - 3e-4) < 1e-9
    losses = [one.train_epoch(BATCHES[::-1], unseen).loss for one in (whole, second)]
    assert abs(losses[0] - losses[1]) < 1e-5 * losses[0], losses
    np.testing.assert_allclose(flat(second.snapshot()), flat(whole.snapshot()), rtol=1e-4, atol=1e-5)
    drawn = [build("dropping").train_epoch(BATCHES[:1], unseen).loss for _ in range(2)]
    assert drawn[0] == drawn[1] != build("small").train_epoch(BATCHES[:1], unseen).loss, "dropout follows the step"


def main(target):
    from matlens.models.protocol import room_of
    from matlens.models.registry import register
    from matlens.models.seeding import seed_everything

    for name, dropout in (("small", 0.0), ("dropping", 0.5)):
        register(spec(name, dropout))
    room = room_of("small")
    seed_everything(3, deterministic=True, room=room)
    found = answers()
    check()
    assert (BACK_END == "tensorflow") == ("tensorflow" in sys.modules)
    np.savez(target, **found)


if __name__ == "__main__":
    main(sys.argv[1])
