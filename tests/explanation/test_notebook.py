"""The guide's Grad-CAM functions on Keras models: the right layer, the right gradient, slips refused, pictures made."""

from __future__ import annotations

import numpy as np
import pytest
from heat import from_gradients, heatmaps
from PIL import Image

from matlens import get_last_conv_layer_name, make_gradcam_heatmap, visualize_gradcam, visualize_gradcam_samples
from matlens.errors import DataError, LabelsError, ModelError, SettingsError
from matlens.notebook import label_space
from matlens.notebook.adapters import classifier_of

pytestmark = pytest.mark.keras

CLASSES = 3
SIDE = 64
NAMES = ["brick", "sky", "wood"]


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def models(keras):
    """The guide's three, with random weights; normalisation fitted to photos, or all would answer alike."""
    from matlens import build_mobilenetv2_transfer, build_resnet50_transfer, build_vgg19_scratch

    shape = (SIDE, SIDE, 3)
    made = {"vgg19": build_vgg19_scratch(shape, CLASSES),
            "resnet50": build_resnet50_transfer(shape, CLASSES, weights=None)[0],
            "mobilenetv2": build_mobilenetv2_transfer(shape, CLASSES, weights=None, alpha=0.35)[0]}
    noise = np.random.default_rng(1).random((8, *shape), dtype=np.float32)
    for name in ("resnet50", "mobilenetv2"):
        classifier_of(made[name]).recompute_statistics([(noise, np.zeros((8, CLASSES), np.float32))])
    return made


@pytest.fixture(scope="module")
def small(keras):
    """Red speaks for class 0, green for class 1 and against class 2; blue is not seen."""
    image = keras.Input((2, 2, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 1, use_bias=False, name="colours")(image))
    model = keras.Model(image, keras.layers.Dense(CLASSES, activation="softmax", name="answer")(x))
    model.get_layer("colours").set_weights([np.eye(3, dtype=np.float32)[None, None]])
    kernel = np.array([[1, 0, 0], [0, 1, -1], [0, 0, 0]], np.float32)
    model.get_layer("answer").set_weights([kernel, np.zeros(CLASSES, np.float32)])
    return model


@pytest.fixture(autouse=True)
def nothing_prepared(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(label_space, "_latest", tmp_path / "nothing")


OWN = {"vgg19": "block5_conv4", "resnet50": "conv5_block3_out", "mobilenetv2": "out_relu"}
OTHER = {"vgg19": ("block4_conv4", 8), "resnet50": ("conv4_block6_out", 4), "mobilenetv2": ("block_13_expand_relu", 4)}


@pytest.mark.parametrize("name", OWN)
def test_the_last_layer_is_found_inside_of_backbones(models, name):
    """The guide's search by Conv2D misses nested backbones, and the activation behind the convolution."""
    assert get_last_conv_layer_name(models[name]) == OWN[name]


def test_a_heat_map_by_hand(small):
    """The red of each pixel for class 0, the green for class 1, and nothing for class 2."""
    photo = np.zeros((2, 2, 3), np.float32)
    photo[..., 0] = [[1.0, 0.5], [0, 0.25]]
    photo[..., 1] = [[0, 0], [0.2, 0.4]]
    assert get_last_conv_layer_name(small) == "colours"
    np.testing.assert_allclose(make_gradcam_heatmap(photo, small), [[1, 0.5], [0, 0.25]], atol=1e-6)
    np.testing.assert_allclose(make_gradcam_heatmap(photo, small, pred_index=1), [[0, 0], [0.5, 1]], atol=1e-6)
    np.testing.assert_array_equal(make_gradcam_heatmap(photo, small, pred_index=2), 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_the_closed_form_is_the_frameworks_gradient(models, photo, name):
    """Two ways to one heat map: by hand through the head, and by TensorFlow's own differentiation."""
    classifier = classifier_of(models[name])
    some = False
    for number in range(CLASSES):
        expected = from_gradients(*classifier.features_and_gradients(photo[None] / np.float32(255), np.array([number]),
                                                                     OWN[name]))[0]
        found = make_gradcam_heatmap(photo, models[name], pred_index=number)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        some |= bool(found.max() == 1)
    assert some, "else the two agree on nothing"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gradcam++", "hirescam"])
@pytest.mark.parametrize("name", OWN)
def test_the_closed_form_of_other_methods_is_the_frameworks_gradient(models, photo, name, method):
    """Behind VGG19's flattening each place has a gradient of its own."""
    classifier, images = classifier_of(models[name]), photo[None] / np.float32(255)
    features, head, some = classifier.features(images), classifier.head(), False
    for number in range(CLASSES):
        expected = from_gradients(*classifier.features_and_gradients(images, np.array([number]), OWN[name]), method)
        found = heatmaps(features, head, np.array([number]), method=method)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        some |= bool(found.max() == 1)
    assert some, "else the two agree on nothing"


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHER)
def test_any_other_layer_is_differentiated_and_has_its_own_size(models, photo, name):
    """Earlier layers show finer places."""
    layer, side = OTHER[name]
    found = [make_gradcam_heatmap(photo, models[name], layer, number) for number in range(CLASSES)]
    assert {(heat.shape, heat.dtype) for heat in found} == {((side, side), np.dtype(np.float32))}
    assert min(heat.min() for heat in found) >= 0
    assert max(heat.max() for heat in found) == 1
    predicted = models[name].predict(photo[None] / np.float32(255), verbose=0).argmax()
    np.testing.assert_allclose(make_gradcam_heatmap(photo, models[name], layer), found[predicted], atol=1e-5)


@pytest.mark.slow
def test_the_gradient_inside_of_a_backbone_is_tensorflows(keras, models, photo):
    """A tape around the parts of the model, put together by hand."""
    import tensorflow as tf

    model = models["mobilenetv2"]
    base = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    opened = keras.Model(base.inputs, [base.get_layer("block_13_expand_relu").output, base.output])
    inputs = model.get_layer("unit_preprocessing")(photo[None] / np.float32(255))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        features, pooled = opened(inputs, training=False)
        answer = model.get_layer("predictions")
        score = (model.get_layer("hidden")(pooled) @ answer.kernel + answer.bias)[:, 1]
    expected = from_gradients(features.numpy(), tape.gradient(score, features).numpy())[0]
    np.testing.assert_allclose(make_gradcam_heatmap(photo, model, "block_13_expand_relu", 1), expected, atol=1e-4)


def test_bytes_floats_and_a_batch_of_one_give_the_same(models, photo):
    """A notebook holds photos in all of these forms; [0, 255] by mistake would give another map."""
    import tensorflow as tf

    expected = make_gradcam_heatmap(photo, models["mobilenetv2"], pred_index=1)
    as_float = photo / np.float32(255)
    for given in (as_float, as_float[None], photo[None], tf.constant(as_float), as_float.astype(np.float64)):
        np.testing.assert_allclose(make_gradcam_heatmap(given, models["mobilenetv2"], pred_index=1), expected,
                                   atol=1e-5)


@pytest.mark.parametrize(("name", "layer", "named"), [
    ("vgg19", "out_relu", r"no layer 'out_relu'.*block5_"), ("mobilenetv2", "block5_conv4", "no layer 'block5_conv4'"),
    ("vgg19", "fc1", "'fc1'.*no feature map"), ("mobilenetv2", "hidden", "'hidden'.*no feature map")])
def test_layers_that_cannot_be_explained_are_named(models, photo, name, layer, named):
    """Names differ between models; a slip must list those that are there."""
    with pytest.raises(ModelError, match=named):
        make_gradcam_heatmap(photo, models[name], layer)


@pytest.mark.parametrize("number", [-1, CLASSES, 1000])
@pytest.mark.parametrize("layer", [None, "block4_conv4"])
def test_classes_that_are_not_there_are_refused(models, photo, number, layer):
    """-1 would silently explain the last class."""
    with pytest.raises(ModelError, match=f"pred_index={number}.*0 to 2"):
        make_gradcam_heatmap(photo, models["vgg19"], layer, number)


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (SIDE, SIDE, 1), (SIDE, SIDE, 4), (2, SIDE, SIDE, 3),
                                   (0, SIDE, SIDE, 3), (3, SIDE, SIDE)])
def test_what_is_not_one_photo_is_refused(models, shape):
    """A whole batch, a grey or transparent picture, channels first."""
    with pytest.raises(DataError, match="One photo must be"):
        make_gradcam_heatmap(np.zeros(shape, np.float32), models["vgg19"])


@pytest.mark.parametrize("name", ["vgg19", "mobilenetv2"])
def test_a_photo_of_another_size_is_refused_with_both_sizes(models, name):
    """An error of Keras about incompatible layers does not say that the photo wants resizing."""
    with pytest.raises((DataError, ModelError), match=r"48.*64|64.*48"):
        make_gradcam_heatmap(np.zeros((48, 48, 3), np.float32), models[name])


@pytest.mark.parametrize("value", [255.0, -0.5, 1.1, np.nan, np.inf])
def test_floats_beyond_the_range_are_refused(models, value):
    """Photos in [0, 255] give heat maps that look right and are not."""
    photo = np.full((SIDE, SIDE, 3), 0.5, np.float32)
    photo[3, 4, 1] = value
    with pytest.raises(DataError, match=r"\[0, 1\].*uint8"):
        make_gradcam_heatmap(photo, models["vgg19"])


@pytest.mark.slow
def test_one_photo_is_drawn_from_an_array_or_a_file(models, photo, tmp_path):
    """The picture must be that of the photo, with the answer and its probability."""
    from matplotlib.figure import Figure

    Image.fromarray(photo).save(tmp_path / "photo.png")
    probabilities = models["vgg19"].predict(photo[None] / np.float32(255), verbose=0)[0]
    for given in (photo, photo / np.float32(255), tmp_path / "photo.png", str(tmp_path / "photo.png")):
        figure = visualize_gradcam(models["vgg19"], given, NAMES, save_path=tmp_path / "new" / "one.png")
        assert isinstance(figure, Figure)
        np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), photo)
        assert figure.axes[0].get_title() == f"{NAMES[probabilities.argmax()]}, {100 * probabilities.max():.0f} %"
        with Image.open(tmp_path / "new" / "one.png") as picture:
            assert picture.format == "PNG"
            assert len(np.unique(np.asarray(picture.convert("L")))) > 50
        (tmp_path / "new" / "one.png").unlink()
    chosen = visualize_gradcam(models["vgg19"], photo, pred_index=1)
    assert chosen.axes[0].get_title() == f"1, {100 * probabilities[1]:.0f} %"
    assert not (tmp_path / "new" / "one.png").exists()


def test_what_cannot_be_drawn_is_named(models, photo, tmp_path):
    """A missing file, and names of another dataset."""
    (tmp_path / "text.jpg").write_text("no photo")
    for name in ("missing.jpg", "text.jpg"):
        with pytest.raises(DataError, match=name):
            visualize_gradcam(models["vgg19"], tmp_path / name)
    with pytest.raises(ModelError, match="2 class names for a model of 3"):
        visualize_gradcam(models["vgg19"], photo, ["a", "b"])
    with pytest.raises(SettingsError, match="alpha=4"):  # colours beyond white would wrap around
        visualize_gradcam(models["vgg19"], photo, alpha=4)
    for broken, named in (([], "no photo"), (iter(()), "no photo")):
        with pytest.raises(DataError, match=named):
            visualize_gradcam_samples(models["vgg19"], broken, NAMES)
    with pytest.raises(DataError, match="num_samples=0"):
        visualize_gradcam_samples(models["vgg19"], [(photo[None] / 255, np.eye(3)[:1])], NAMES, 0)


@pytest.mark.parametrize(("wanted", "classes"), [
    (1, [0]), (3, [0, 1, 2]), (4, [0, 0, 1, 2]), (5, [0, 0, 1, 2, 2]), (7, [0, 0, 0, 0, 1, 2, 2]),
    (20, [0] * 9 + [1] + [2] * 2)])
def test_samples_take_the_classes_in_turn(small, tmp_path, wanted, classes):
    """The first photos of a sorted dataset are of one class; the guide's picture should show all."""
    labels = np.array([0] * 6 + [2] + [0] * 3 + [1, 2])
    photos = np.zeros((len(labels), 2, 2, 3), np.float32)
    photos[..., 2] = labels[:, None, None] / 2  # blue says the class
    photos[:, 0, 0, 0] = np.linspace(0, 1, len(labels))
    one_hot = np.eye(CLASSES, dtype=np.float32)[labels]
    data = [(photos[:5], one_hot[:5]), (photos[5:], one_hot[5:])]
    figure = visualize_gradcam_samples(small, data, NAMES, wanted, save_path=tmp_path / "samples.png")
    drawn = [axes for axes in figure.axes if axes.images]
    blue = [int(axes.images[0].get_array()[0, 0, 2]) for axes in drawn]
    assert blue == [{0: 0, 1: 128, 2: 255}[number] for number in classes]
    for axes, number in zip(drawn, classes, strict=True):
        wrong = not axes.get_title().startswith(NAMES[number])
        assert axes.get_title().endswith(f"(true: {NAMES[number]})") == wrong
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")


def test_samples_of_few_classes_are_as_many_as_asked_for(small):
    """test_ds.take(1) of a sorted dataset holds one class only, and enough photos of it."""
    photos = np.random.default_rng(0).random((10, 2, 2, 3), dtype=np.float32)
    figure = visualize_gradcam_samples(small, [(photos, np.eye(CLASSES, dtype=np.float32)[[0] * 10])], NAMES, 8)
    assert len([axes for axes in figure.axes if axes.images]) == 8


IMAGES = np.zeros((2, 2, 2, 3), np.float32)


@pytest.mark.parametrize("data", [None, 3, [3], [(IMAGES,)], [(IMAGES, [0, 1, 2])], [(IMAGES, [[1, 0, 0], [1]])],
                                  [([IMAGES[0], IMAGES[1][:1]], [0, 1])], [(IMAGES[0], [0, 1])],
                                  [(IMAGES, ["x", "y"])]], ids=str)
def test_what_gives_no_photos_with_labels_is_not_explained(small, data):
    with pytest.raises(DataError, match=r"dataset|class_names"):
        visualize_gradcam_samples(small, data, NAMES)


def test_arguments_that_are_none_are_refused(small):
    for options in ({"num_samples": "2"}, {"num_samples": 1.5}):
        with pytest.raises(SettingsError, match="num_samples"):
            visualize_gradcam_samples(small, [(IMAGES, [0, 1])], NAMES, **options)
    with pytest.raises(SettingsError, match="pred_index"):
        make_gradcam_heatmap(IMAGES[0], small, pred_index="0")
    for image in (None, [[1], [1, 2]], {}, np.array([["x"]])):
        with pytest.raises(DataError):
            make_gradcam_heatmap(image, small)
    with pytest.raises(LabelsError, match="class_names"):
        visualize_gradcam(small, IMAGES[0], {"brick", "sky", "wood"})
