"""The guide's Grad-CAM functions on GoogLeNet, here and in a child process."""

from __future__ import annotations

import numpy as np
import pytest
from heat import from_gradients, heatmaps

from matlens import (
    InceptionV1Wrapper,
    get_last_conv_layer_name,
    make_gradcam_heatmap,
    visualize_gradcam,
    visualize_gradcam_samples,
)
from matlens.errors import DataError, ModelError

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

CLASSES = 3
SIDE = 64


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.random.default_rng(0).random((6, SIDE, SIDE, 3), dtype=np.float32)


@pytest.fixture(scope="module", params=[False, True], ids=["here", "in a child"])
def wrapper(request, photos) -> InceptionV1Wrapper:
    made = InceptionV1Wrapper(CLASSES, pretrained=False, device="cpu", in_child=request.param)
    made.classifier.recompute_statistics([(photos, np.zeros((6, CLASSES), np.float32))])
    return made


def gradcam_by_torch(torch, wrapper, photo: np.ndarray, layer: str, number: int, tmp_path) -> np.ndarray:
    """In a plain torchvision network with the wrapper's weights, by a hook and autograd."""
    from torchvision.models import googlenet

    wrapper.save(tmp_path / "m.pth")
    plain = googlenet(num_classes=CLASSES, aux_logits=False, init_weights=False)
    plain.load_state_dict(torch.load(tmp_path / "m.pth", weights_only=True))
    plain.eval()
    seen = []
    plain.get_submodule(layer).register_forward_hook(lambda _, __, output: seen.append(output))
    logits = plain(torch.as_tensor(photo[None]).permute(0, 3, 1, 2) * 2 - 1)
    slopes = torch.autograd.grad(logits[0, number], seen[0])[0]
    heat = torch.relu((slopes.mean((2, 3), keepdim=True) * seen[0]).sum(1))[0].detach().numpy()
    return heat / heat.max() if heat.max() > 0 else heat


def test_the_last_layer_is_named(wrapper):
    """One call for all four models."""
    assert get_last_conv_layer_name(wrapper) == "inception5b"


@pytest.mark.parametrize("method", ["gradcam++", "hirescam"])
def test_other_methods_are_autograds_too(wrapper, photos, method):
    """At the last layer, in closed form."""
    classifier, classes = wrapper.classifier, np.arange(6) % CLASSES
    expected = from_gradients(*classifier.features_and_gradients(photos, classes, "inception5b"), method)
    found = heatmaps(classifier.features(photos), classifier.head(), classes, method=method)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found.max() == 1


@pytest.mark.parametrize(("layer", "side"), [(None, 2), ("inception5b", 2), ("inception4e", 4), ("conv1", 32)])
def test_heat_maps_are_autograds(torch, wrapper, photos, tmp_path, layer, side):
    """The closed form at the last layer, and any other layer, against plain torchvision."""
    heats = []
    for number in range(CLASSES):
        expected = gradcam_by_torch(torch, wrapper, photos[0], layer or "inception5b", number, tmp_path)
        heats.append(make_gradcam_heatmap(photos[0], wrapper, layer, number))
        np.testing.assert_allclose(heats[-1], expected, atol=1e-4)
    assert {(heat.shape, heat.dtype) for heat in heats} == {((side, side), np.dtype(np.float32))}
    assert max(heat.max() for heat in heats) == 1
    predicted = wrapper.predict(photos[:1])[0].argmax()
    np.testing.assert_allclose(make_gradcam_heatmap(photos[:1], wrapper, layer), heats[predicted], atol=1e-5)


def test_the_closed_form_is_features_and_gradients(wrapper, photos):
    """Two ways to one heat map."""
    for number in range(CLASSES):
        expected = from_gradients(*wrapper.classifier.features_and_gradients(photos[:1], np.array([number]),
                                                                             "inception5b"))[0]
        np.testing.assert_allclose(make_gradcam_heatmap(photos[0], wrapper, pred_index=number), expected, atol=1e-4)


def test_bytes_and_floats_give_the_same(wrapper, photos):
    """[0, 255] by mistake would give another map."""
    photo = (photos[1] * 255).round().astype(np.uint8)
    np.testing.assert_allclose(make_gradcam_heatmap(photo, wrapper, pred_index=0),
                               make_gradcam_heatmap(photo / np.float32(255), wrapper, pred_index=0), atol=1e-5)


def test_slips_are_named(wrapper, photos):
    """As for Keras models."""
    for options, error, named in (
            ({"last_conv_layer_name": "block5_conv4"}, ModelError, "no layer 'block5_conv4'.*inception5b"),
            ({"last_conv_layer_name": "fc"}, ModelError, "'fc'.*no feature map"),
            ({"pred_index": CLASSES}, ModelError, "pred_index=3.*0 to 2"),
            ({"pred_index": -1}, ModelError, "pred_index=-1")):
        with pytest.raises(error, match=named):
            make_gradcam_heatmap(photos[0], wrapper, **options)
    for wrong, named in ((photos, "One photo"), (photos[0, ..., :1], "One photo"), (photos[0] * 255, "uint8")):
        with pytest.raises(DataError, match=named):
            make_gradcam_heatmap(wrong, wrapper)


def test_pictures_are_drawn(wrapper, photos, tmp_path):
    """PNG files for the report, figures for the notebook."""
    figure = visualize_gradcam(wrapper, photos[0], ["a", "b", "c"], save_path=tmp_path / "one.png")
    assert figure.axes[0].get_title()[0] in "abc"
    labels = np.eye(CLASSES, dtype=np.float32)[[0, 0, 0, 1, 2, 2]]
    figure = visualize_gradcam_samples(wrapper, [(photos, labels)], ["a", "b", "c"], 3, save_path=tmp_path / "all.png")
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    for found, index in zip(shown, (0, 3, 4), strict=True):
        np.testing.assert_array_equal(found, (photos[index] * 255).round().astype(np.uint8))
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("one.png", "all.png"))
