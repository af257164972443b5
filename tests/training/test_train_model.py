"""train_model on Keras models: the guide's history and file, honest losses, any kind of data, slips refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from matlens import create_split, train_model
from matlens.errors import DataError, LabelsError, ModelError, SettingsError
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
    ({"name": ""}, "no file name"), ({"name": "models/vgg"}, "no file name"), ({"name": "../vgg"}, "no file name"),
    ({"name": 3}, "name=3"), ({"name": "a\0b"}, "name"), ({"epochs": "2"}, "epochs='2'"),
    ({"epochs": 1.5}, r"epochs=1\.5"), ({"epochs": None}, "epochs"), ({"initial_epoch": "0"}, "initial_epoch"),
    ({"initial_epoch": -1}, "initial_epoch=-1"), ({"early_stopping_patience": "5"}, "early_stopping_patience"),
    ({"reduce_lr_patience": None}, "reduce_lr_patience"), ({"history": {"loss": [1]}}, "history"),
    ({"save_dir": 3}, "save_dir=3")])
def test_settings_that_cannot_be_are_named(make, tmp_path, options, named):
    """Before an hour of training, and nothing is written elsewhere."""
    with pytest.raises(SettingsError, match=named):
        train_model(make(), TRAIN, VAL, **{"name": "small", "save_dir": tmp_path / "models", "verbose": 0, **options})
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(("data", "fact"), [
    (None, "train_ds"), (5, "train_ds"), ([(TRAIN[0][0], ["wood"] * 6)], "train_ds"),
    ([(TRAIN[0][0], np.array([["a", "b", "c"]] * 6))], "train_ds"),
    ([(TRAIN[0][0], [[1, 0, 0]] * 5 + [[1]])], "train_ds"),
    ([([TRAIN[0][0][0], TRAIN[0][0][1][:8]], np.eye(CLASSES)[:2])], "train_ds"),
    ([(TRAIN[0][0][:, 0, 0], TRAIN[0][1])], "train_ds"),
    ([(np.array([TRAIN[0][0][0], None], object), np.eye(CLASSES)[:2])], "train_ds"),
    ([(TRAIN[0][0], np.zeros((6, CLASSES)))], "0"), ([(TRAIN[0][0], np.ones((6, CLASSES)))], "3"),
    ([(TRAIN[0][0], np.full((6, CLASSES), 0.5))], r"1\.5")])
def test_what_gives_no_photos_with_labels_to_learn_is_refused(make, tmp_path, data, fact):
    """On labels of no class the loss is 0 and all answers are right."""
    for train, val, name in ((data, VAL, "train_ds"), (TRAIN, data, "val_ds")):
        with pytest.raises(DataError, match=fact.replace("train_ds", name)):
            train_model(make(), train, val, "small", epochs=1, save_dir=tmp_path / "models", verbose=0)
    assert not (tmp_path / "models").exists()


def test_smoothed_and_mixed_labels_are_learnt(make, tmp_path):
    smoothed = [(images, (labels * 0.9 + 0.1 / CLASSES).astype(np.float16)) for images, labels in TRAIN]
    mixed = [(images, 0.5 * labels + 0.5 * labels[::-1]) for images, labels in TRAIN]
    for data in (smoothed, mixed):
        train_model(make(), data, VAL, "small", epochs=np.int64(1), save_dir=tmp_path, verbose=0)


def test_the_way_out_for_class_numbers_in_one_column_can_be_pasted(make, tmp_path):
    """As `image_dataset_from_directory(label_mode="binary")` gives them, for a softmax of two."""
    train_ds = [(images, labels.argmax(1)[:, None].astype(np.float32)) for images, labels in batches((6,), 0, 2)]
    with pytest.raises(ModelError) as refused:
        train_model(make(outputs=2), train_ds, VAL, "small", epochs=1, save_dir=tmp_path, verbose=0)
    one_hot = eval(str(refused.value).split("one-hot: ")[1], {"numpy": np, "train_ds": train_ds})
    train_model(make(outputs=2), one_hot, one_hot, "small", epochs=1, save_dir=tmp_path, verbose=0)


@pytest.fixture
def binary(keras):
    """One sigmoid output, as Keras' own tutorials build a model of two classes."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Conv2D(4, 3, activation="relu"),
                              keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.SGD(0.0), "binary_crossentropy", metrics=["accuracy"])
    return model


def test_keras_training_and_evaluation_agree_on_one_sigmoid_output(keras, binary, tmp_path):
    """`label_mode="binary"`: labels (B, 1). A rate of 0 keeps the model; its threshold is moved among its answers."""
    from matlens import evaluate_model

    data = [(images, labels.argmax(1)[:, None].astype(np.float32)) for images, labels in batches((8, 8), 3, classes=2)]
    logits = np.log(1 / binary.predict(data[0][0], verbose=0) - 1)
    binary.layers[-1].bias.assign(binary.layers[-1].bias + np.median(logits))
    history = train_model(binary, data, data, "binary", epochs=1, save_dir=tmp_path, verbose=0).history
    found = evaluate_model(binary, data, "binary", ["no", "yes"], tmp_path)
    images, labels = (np.concatenate(arrays) for arrays in zip(*data, strict=True))
    answers = binary.predict(images, verbose=0)[:, 0] > 0.5
    assert 0 < answers.sum() < len(answers), "else the test shows nothing"
    right = float((answers == (labels[:, 0] == 1)).mean())
    keras_says = binary.evaluate(images, labels, verbose=0, return_dict=True)["accuracy"]
    assert (found["accuracy"], history["val_accuracy"][0], keras_says) == pytest.approx((right,) * 3)
    assert found["log_loss"] == pytest.approx(history["val_loss"][0], rel=1e-4)


def test_one_output_that_is_a_logit_is_refused(keras, binary, tmp_path):
    """Within [0, 1] it passes for a probability, and 0.5 would part the classes where 0 does."""
    from matlens import evaluate_model, visualize_gradcam

    binary.layers[-1].activation = keras.activations.linear
    with pytest.raises(ModelError, match="sigmoid"):
        evaluate_model(binary, [(VAL[0][0], np.ones((6, 1), np.float32))], "binary", save_dir=tmp_path)
    with pytest.raises(ModelError, match=r"Dense\(2"):
        visualize_gradcam(binary, VAL[0][0][0])


def in_bytes(data):
    return [(images * 255, labels) for images, labels in data]


@pytest.mark.parametrize(("train", "val", "fact"), [
    (in_bytes(TRAIN), VAL, "train_ds"), (TRAIN, in_bytes(VAL), "val_ds"),
    ([(images * np.nan, labels) for images, labels in TRAIN], VAL, "train_ds"),
    ([(images, labels * np.nan) for images, labels in TRAIN], VAL, "train_ds"),
    ([(images, labels * 2) for images, labels in TRAIN], VAL, "train_ds"),
    ([((images * 255).astype(np.uint8), labels) for images, labels in TRAIN], VAL, "train_ds")],
    ids=["train", "val", "NaN photos", "NaN labels", "labels of 2", "uint8"])
def test_photos_and_labels_of_another_range_are_refused(make, tmp_path, train, val, fact):
    with pytest.raises(DataError, match=fact):
        train_model(make(), train, val, "small", epochs=1, save_dir=tmp_path / "models", verbose=0)
    assert not (tmp_path / "models").exists()


def test_a_model_that_scales_bytes_itself_is_trained_on_bytes(keras, tmp_path):
    from matlens import evaluate_model, make_gradcam_heatmap

    def build(scale):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([
            keras.Input((SIDE, SIDE, 3)), keras.Sequential([keras.layers.RandomFlip()]), keras.layers.Rescaling(scale),
            keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(CLASSES, activation="softmax")])
        model.compile(keras.optimizers.SGD(0.0), "categorical_crossentropy", metrics=["accuracy"])
        return model

    of_bytes, of_units = build(1 / 255), build(1.0)
    for model, good, bad in ((of_bytes, in_bytes, list), (of_units, list, in_bytes)):
        train_model(model, good(TRAIN), good(VAL), "m", epochs=1, save_dir=tmp_path, verbose=0)
        with pytest.raises(DataError, match="train_ds"):
            train_model(model, bad(TRAIN), good(VAL), "m", epochs=1, save_dir=tmp_path, verbose=0)
        with pytest.raises(DataError, match="test_ds"):
            evaluate_model(model, bad(VAL), "m", save_dir=tmp_path)
    photo = TRAIN[0][0][0]
    expected = make_gradcam_heatmap(photo, of_units, pred_index=0)
    for given in (photo, photo * 255):
        np.testing.assert_allclose(make_gradcam_heatmap(given, of_bytes, pred_index=0), expected, atol=1e-4)


def test_the_range_that_models_of_others_take_is_told_by_their_first_layer(keras):
    from matlens.models.keras.preprocessing import range_of_first_layer

    layers, apps = keras.layers, keras.applications

    def of(*first):
        image = x = keras.Input((32, 32, 3))
        for layer in (*first, layers.Conv2D(2, 1)):
            x = layer(x)
        return range_of_first_layer(keras.Model(image, x))[0]

    assert [of(), of(layers.Rescaling(1 / 255)), of(layers.Rescaling(1 / 127.5, -1)), of(layers.Rescaling(2.0, -1)),
            of(layers.Normalization(mean=[120.0] * 3, variance=[3000.0] * 3)),
            of(layers.Normalization(mean=[0.5] * 3, variance=[0.05] * 3)),
            of(apps.mobilenet_v2.preprocess_input)] == [1, 255, 255, 1, 255, 1, None]
    assert of(apps.MobileNetV3Small(weights=None, include_top=False, input_shape=(32, 32, 3))) == 255


def test_names_of_classes_travel_with_the_model_and_its_file(make, prepared, tmp_path, monkeypatch):
    """Another dataset in the same notebook must not rename them: in results, on pictures, after loading."""
    from matlens import build_datasets, evaluate_model, load_model, visualize_gradcam

    train, val, test = build_datasets(prepared, (SIDE, SIDE), 8)
    model = make(outputs=4)
    train_model(model, train, val, "named", epochs=1, save_dir=tmp_path, verbose=0)
    names = ("brick", "foliage", "sky", "wood")
    for name in ("apple", "fig", "pear", "plum"):
        for part in ("train", "val", "test"):
            folder = tmp_path / "fruit" / part / name
            folder.mkdir(parents=True)
            for number, photo in enumerate(sorted((prepared / part).rglob("*.*"))[:2]):
                (folder / f"{number}{photo.suffix}").write_bytes(photo.read_bytes())
    fruit = build_datasets(tmp_path / "fruit", (SIDE, SIDE), 8)
    for given in (model, load_model(tmp_path / "named.h5")):
        assert given.class_names == names
        nameless = test.map(lambda images, labels: (images, labels))
        assert evaluate_model(given, nameless, "m", save_dir=tmp_path)["class_names"] == names
        figure = visualize_gradcam(given, next(iter(test))[0][0])
        words = " ".join(text.get_text() for axes in figure.axes for text in (axes.title, *axes.texts))
        assert any(name in words for name in names)
        with pytest.raises(LabelsError, match="apple"):
            evaluate_model(given, fruit[2], "m", save_dir=tmp_path)
    with pytest.raises(LabelsError, match="apple"):
        train_model(model, train, fruit[1], "m", epochs=1, save_dir=tmp_path, verbose=0)
