"""train_model on Keras models: the guide's history and file, honest losses, any kind of data, slips refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matlens import create_split, train_model
from matlens.errors import DataError, ModelError, SettingsError
from matlens.notebook import label_space

pytestmark = pytest.mark.keras

CLASSES = 3
SIDE = 32
KEYS = ["loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]


def batches(sizes: tuple[int, ...], seed: int, classes: int = CLASSES) -> list[tuple[np.ndarray, np.ndarray]]:
    """Batches of noise of these sizes, the class a tint."""
    rng = np.random.default_rng(seed)
    made = []
    for size in sizes:
        labels = rng.integers(0, classes, size)
        images = rng.random((size, SIDE, SIDE, 3), dtype=np.float32) * 0.5
        images[np.arange(size), :, :, labels % 3] += 0.3
        made.append((images, np.eye(classes, dtype=np.float32)[labels]))
    return made


TRAIN = batches((6, 6, 3), 0)
VAL = batches((6, 1), 1)


@pytest.fixture
def make(keras):
    """Build the same small compiled model each time."""
    def build(rate: float = 1e-2, outputs: int = CLASSES):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([
            keras.Input((SIDE, SIDE, 3)), keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(outputs, activation="softmax")])
        model.compile(keras.optimizers.SGD(rate), "categorical_crossentropy", metrics=["accuracy"])
        return model

    return build


@pytest.fixture
def prepared(drawn, tmp_path, monkeypatch) -> Path:
    """A prepared directory of drawn photos; the pixels go to a cache of its own."""
    monkeypatch.setattr(label_space, "_latest", None)
    monkeypatch.setenv("MATLENS_CACHE", str(tmp_path / "cache"))
    create_split(drawn, tmp_path / "prepared")
    return tmp_path / "prepared"


def crossentropy(model, data) -> tuple[float, float]:
    """Mean loss and accuracy over photos, by hand from the probabilities."""
    images, labels = (np.concatenate(arrays) for arrays in zip(*data, strict=True))
    probabilities = model.predict(images, verbose=0)
    return (float(-np.log(probabilities[labels == 1]).mean()),
            float((probabilities.argmax(1) == labels.argmax(1)).mean()))


def test_history_has_the_guides_keys_an_entry_an_epoch(make, tmp_path):
    """The guide's training curves are drawn from it."""
    found = train_model(make(), TRAIN, VAL, "small", epochs=3, save_dir=tmp_path, verbose=0)
    assert list(found.history) == KEYS
    assert {len(values) for values in found.history.values()} == {3}
    assert all(isinstance(value, float) for values in found.history.values() for value in values)
    assert [path.name for path in tmp_path.iterdir()] == ["small.h5"]


@pytest.mark.slow
def test_the_file_is_the_best_epoch_and_so_is_the_model(keras, make, tmp_path):
    """What is judged afterwards must be what was saved, in plain Keras too."""
    model = make(rate=3.0)  # so large that epochs differ
    found = train_model(model, TRAIN, VAL, "small", epochs=4, save_dir=tmp_path / "new" / "models", verbose=0)
    plain = keras.models.load_model(tmp_path / "new" / "models" / "small.h5")
    np.testing.assert_allclose(plain.predict(VAL[0][0], verbose=0), model.predict(VAL[0][0], verbose=0), atol=1e-6)
    assert crossentropy(plain, VAL)[0] == pytest.approx(min(found.history["val_loss"]), rel=1e-4)


def test_losses_are_means_over_photos(make, tmp_path):
    """A last batch of one photo must not count as much as a whole one; a rate of 0 makes it a calculation."""
    model = make(rate=0.0)
    found = train_model(model, TRAIN, VAL, "small", epochs=1, save_dir=tmp_path, verbose=0).history
    assert (found["loss"][0], found["accuracy"][0]) == pytest.approx(crossentropy(model, TRAIN), rel=1e-4)
    assert (found["val_loss"][0], found["val_accuracy"][0]) == pytest.approx(crossentropy(model, VAL), rel=1e-4)


@pytest.mark.slow
def test_training_is_keras_own(keras, make, tmp_path):
    """The same steps in the same order as Keras' fit, or results could not be compared with anyone's."""
    import tensorflow as tf

    ours, theirs = make(), make()
    found = train_model(ours, TRAIN, VAL, "small", epochs=2, save_dir=tmp_path, verbose=0).history

    def as_dataset(data):
        return tf.data.Dataset.from_generator(lambda: iter(data), output_signature=(
            tf.TensorSpec((None, SIDE, SIDE, 3)), tf.TensorSpec((None, CLASSES))))

    expected = theirs.fit(as_dataset(TRAIN), validation_data=as_dataset(VAL), epochs=2, verbose=0).history
    for name in KEYS[:-1]:
        assert found[name] == pytest.approx(expected[name], rel=1e-4), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tuples", "tensors", "generator", "tf.data", "object"])
def test_any_iterable_of_batches_trains_alike(keras, make, tmp_path, kind):
    """The guide passes tf.data; others have arrays, or read their photos as they go."""
    import tensorflow as tf

    class Anew:
        def __iter__(self):
            return iter(TRAIN)

    given = {"tuples": tuple(TRAIN), "tensors": [tuple(map(tf.constant, batch)) for batch in TRAIN],
             "generator": (batch for batch in TRAIN), "object": Anew(),
             "tf.data": tf.data.Dataset.from_generator(lambda: iter(TRAIN), output_signature=(
                 tf.TensorSpec((None, SIDE, SIDE, 3)), tf.TensorSpec((None, CLASSES))))}[kind]
    val = iter(VAL) if kind == "generator" else VAL
    expected = train_model(make(), TRAIN, VAL, "list", epochs=1, save_dir=tmp_path, verbose=0)
    found = train_model(make(), given, val, kind, epochs=1, save_dir=tmp_path, verbose=0)
    for name in KEYS:
        assert found.history[name] == pytest.approx(expected.history[name], rel=1e-5), name


@pytest.mark.slow
def test_a_dataset_mapped_with_the_augmentation_layer_trains(keras, make, prepared, tmp_path):
    """The guide's way to augment."""
    from matlens import build_datasets, get_augmentation_layer

    train, val, _ = build_datasets(prepared, (SIDE, SIDE), 8)
    layer = get_augmentation_layer()
    varied = train.map(lambda images, labels: (layer(images, training=True), labels))
    found = train_model(make(outputs=4), varied, val, "varied", epochs=2, save_dir=tmp_path, verbose=0)
    plain = train_model(make(outputs=4), train, val, "plain", epochs=2, save_dir=tmp_path, verbose=0)
    assert len(found.history["loss"]) == 2
    assert found.history["loss"] != plain.history["loss"]


@pytest.mark.slow
def test_our_datasets_train_as_what_is_behind_them_peeked_at_or_not(keras, make, prepared, tmp_path):
    """Looking at a batch in a notebook must not change the results."""
    from matlens import build_datasets

    train, val, _ = build_datasets(prepared, (SIDE, SIDE), 8, augmented=True)
    expected = train_model(make(outputs=4), train.batches, val.batches, "a", epochs=2, save_dir=tmp_path, verbose=0)
    for _ in train.take(1):
        next(iter(val))
    found = train_model(make(outputs=4), train, val, "b", epochs=2, save_dir=tmp_path, verbose=0)
    again = train_model(make(outputs=4), train, val, "c", epochs=2, save_dir=tmp_path, verbose=0)
    for name in KEYS:
        assert found.history[name] == pytest.approx(expected.history[name], rel=1e-5), name
        assert again.history[name] == pytest.approx(expected.history[name], rel=1e-5), name
    assert expected.history["loss"][0] != expected.history["loss"][1]


def test_the_second_stage_counts_on(keras, make, tmp_path):
    """The guide fine-tunes with initial_epoch, as in Keras' fit."""
    found = train_model(make(), TRAIN, VAL, "small", epochs=5, initial_epoch=3, save_dir=tmp_path, verbose=0)
    assert [epoch.number for epoch in found] == [4, 5]


def test_a_worse_second_stage_keeps_the_first_ones_file(make, tmp_path):
    """Fine-tuning may make a model worse; continued, the first stage's best epoch stays the one to beat."""
    model = make()
    first = train_model(model, TRAIN, VAL, "small", epochs=2, save_dir=tmp_path, verbose=0)
    best, kept, saved = min(first.history["val_loss"]), model.get_weights(), (tmp_path / "small.h5").read_bytes()
    model.optimizer.learning_rate = 100.0
    both = train_model(model, TRAIN, VAL, "small", epochs=3, initial_epoch=2, save_dir=tmp_path, verbose=0,
                       history=first)
    assert [epoch.number for epoch in both] == [1, 2, 3]
    assert both.history["val_loss"][2] > best, "else this test shows nothing"
    assert (tmp_path / "small.h5").read_bytes() == saved
    for found, expected in zip(model.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_training_stops_and_slows_as_told(make, tmp_path):
    """Of a loss that never improves: patience 2 ends after epoch 3, and patience 1 lowers the rate after epoch 2."""
    found = train_model(make(rate=0.0), TRAIN, VAL, "small", epochs=9, early_stopping_patience=2,
                        save_dir=tmp_path, verbose=0)
    assert len(found.epochs) == 3
    model = make(rate=1e-12)
    found = train_model(model, TRAIN, VAL, "small", epochs=3, reduce_lr_patience=1, save_dir=tmp_path, verbose=0)
    assert found.history["learning_rate"] == pytest.approx([1e-12, 1e-12, 1e-13], rel=1e-5)


@pytest.mark.slow
def test_silence_and_one_line_an_epoch(make, tmp_path, capsys):
    """verbose as in Keras: a log of a thousand lines hides the one that matters."""
    train_model(make(), TRAIN, VAL, "small", epochs=2, save_dir=tmp_path, verbose=0)
    assert capsys.readouterr() == ("", "")
    for verbose in (1, 2):
        train_model(make(), TRAIN, VAL, "small", epochs=2, save_dir=tmp_path, verbose=verbose)
        said = capsys.readouterr().out
        assert [line.split(":")[0].strip() for line in said.splitlines()] == ["epoch 1", "epoch 2"]


INTEGERS = [(images, labels.argmax(1)) for images, labels in TRAIN]
FOUR = batches((6, 6), 2, classes=4)


@pytest.mark.parametrize(("train", "val", "error", "named"), [
    (FOUR, VAL, ModelError, r"3 outputs, but train_ds has 4.*num_classes=4"),
    (TRAIN, FOUR, ModelError, r"3 outputs, but val_ds has 4"),
    (INTEGERS, VAL, DataError, r"labels of train_ds must be one-hot.*\(6,\)"),
    (TRAIN, INTEGERS, DataError, r"labels of val_ds must be one-hot"),
    ([], VAL, DataError, "train_ds gave no batch"), (TRAIN, [], DataError, "val_ds gave no batch"),
    ([batch[0] for batch in TRAIN], VAL, DataError, r"train_ds must give \(images, labels\)"),
    (iter(TRAIN), VAL, DataError, "train_ds is a generator.*2 epochs"),
    (TRAIN, (batch for batch in VAL), DataError, "val_ds is a generator.*2 epochs")], ids=lambda value: None)
def test_data_that_do_not_fit_are_named(make, tmp_path, train, val, error, named):
    """A broadcast would train on nonsense, and an exhausted generator on nothing, without a word."""
    with pytest.raises(error, match=named):
        train_model(make(), train, val, "small", epochs=2, save_dir=tmp_path / "models", verbose=0)
    assert not (tmp_path / "models").exists()


def test_a_generator_that_is_used_up_is_named(make, tmp_path):
    """Running the cell again would otherwise train on nothing."""
    given = iter(TRAIN)
    train_model(make(), given, VAL, "small", epochs=1, save_dir=tmp_path, verbose=0)
    with pytest.raises(DataError, match="used up"):
        train_model(make(), given, VAL, "small", epochs=1, save_dir=tmp_path, verbose=0)


def test_models_that_cannot_be_trained_are_named(keras, make, tmp_path):
    """Not compiled, compiled without accuracy, the builders' pair, none at all."""
    bare = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Flatten(),
                             keras.layers.Dense(CLASSES, activation="softmax")])
    for model, named in ((bare, "not compiled"), ((make(), make()), r"tuple.*\(model, base_model\)"),
                         ("vgg19", "neither a Keras model nor an InceptionV1Wrapper")):
        with pytest.raises(ModelError, match=named):
            train_model(model, TRAIN, VAL, "small", save_dir=tmp_path, verbose=0)
    bare.compile("sgd", "categorical_crossentropy")
    with pytest.raises(ModelError, match=r"metrics=\['accuracy'\]"):
        train_model(bare, TRAIN, VAL, "small", save_dir=tmp_path, verbose=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("options", "named"), [
    ({"epochs": 0}, "nothing to train"), ({"epochs": 4, "initial_epoch": 4}, "nothing to train"),
    ({"name": ""}, "no file name"), ({"name": "models/vgg"}, "no file name"), ({"name": "../vgg"}, "no file name")])
def test_settings_that_cannot_be_are_named(make, tmp_path, options, named):
    """Before an hour of training, and nothing is written elsewhere."""
    with pytest.raises(SettingsError, match=named):
        train_model(make(), TRAIN, VAL, **{"name": "small", "save_dir": tmp_path / "models", "verbose": 0, **options})
    assert not (tmp_path / "models").exists()
