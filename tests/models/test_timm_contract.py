"""What every network of timm must do as a model: build, divide, convert, save, load, be cut, explain itself."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from timm_names import LEARNING_RATES, MARKED, OF_PLACES, QUICK, SIDES, by_name

from matlens.errors import ModelError, WeightsError
from matlens.features.artifact import write_artifact
from matlens.features.engine import TrunkEngine
from matlens.models.libraries.timm import cards
from matlens.models.preprocess import Standardise
from matlens.models.protocol import BuildOrder, room_of
from matlens.models.registry import spec_of

pytestmark = pytest.mark.torch

CLASSES = 3
REAL = "tf_efficientnet_lite0.in1k"


@pytest.fixture(scope="module", autouse=True)
def own_cache(torch, tmp_path_factory, request):
    """What timm says is asked for here, once for all that this run tries, and kept elsewhere than the user's."""
    pytest.importorskip("timm")
    tried = {item.callspec.params["name"] for item in request.session.items
             if item.module is request.module and hasattr(item, "callspec")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MATLENS_CACHE", str(tmp_path_factory.mktemp("cache")))
        cards(sorted(tried | {*QUICK, REAL}))
        yield


def order_of(name: str, **changes: Any) -> BuildOrder:
    return BuildOrder(f"timm/{name}", CLASSES, (SIDES[name],) * 2, **changes)


def photos_for(name: str) -> np.ndarray:
    return np.random.default_rng(0).random((4, SIDES[name], SIDES[name], 3), dtype=np.float32)


@cache
def built(name: str) -> Any:
    """From random weights, with normalisation fitted to the photos."""
    room = room_of(f"timm/{name}")
    room.seed(1, False)
    classifier = room.build(order_of(name))
    classifier.recompute_statistics([(photos_for(name), np.zeros((4, CLASSES), np.float32))])
    return classifier


@by_name()
def test_its_head_on_its_features_is_the_model(name):
    """Artifact, Grad-CAM and training on features all rest on that."""
    classifier, photos = built(name), photos_for(name)
    features = classifier.features(photos)
    assert features.ndim == 4 and features.shape[1] > 1
    np.testing.assert_allclose(classifier.head().probabilities(features), classifier.predict(photos), atol=1e-5)


@by_name()
def test_the_pooled_features_are_timms_own(name, torch):
    """What the head takes is what the library's own classifier would: patches, class token and norm in their places."""
    if name.startswith("mobilenet"):
        pytest.skip("timm puts a layer between pooling and classifier, which matlens' own head takes the place of")
    classifier, photos = built(name), photos_for(name)
    pooled = torch.as_tensor(classifier.features(photos).mean((1, 2)))
    backbone = classifier.network.module.backbone
    own = spec_of(f"timm/{name}").preprocess
    x = (torch.as_tensor(photos).permute(0, 3, 1, 2) - torch.tensor(own.mean)[:, None, None]) / torch.tensor(
        own.deviation)[:, None, None]
    with torch.no_grad():
        values = backbone.eval().forward_features(x)
    if values.ndim == 3:
        prefix = backbone.num_prefix_tokens if hasattr(backbone, "num_prefix_tokens") else 0
        patches = values[:, prefix:].mean(1)
        wanted = torch.cat((patches, values[:, 0]), 1) if prefix else patches
    else:
        wanted = values.mean((1, 2) if values.shape[-1] == backbone.num_features else (2, 3))
    norm = getattr(classifier.network.module.ending, "norm", None)
    if norm is not None:
        wanted = torch.nn.functional.layer_norm(wanted, wanted.shape[1:], norm.weight, norm.bias, norm.eps)
    torch.testing.assert_close(pooled, wanted.detach(), rtol=1e-3, atol=1e-4)


@by_name()
def test_its_trunk_in_openvino_is_its_own(name, tmp_path):
    """Features are computed there."""
    classifier, photos = built(name), photos_for(name)
    classifier.export_trunk(tmp_path)
    wanted = classifier.features(photos)
    np.testing.assert_allclose(TrunkEngine(tmp_path / "trunk.xml").features(photos), wanted,
                               atol=1e-4 * np.abs(wanted).max())


@by_name()
def test_what_follows_its_cut_is_trained_in_place_of_the_whole(name, tmp_path):
    """The recipe `strong` caches activations there; the front is converted too."""
    classifier, photos = built(name), photos_for(name)
    cut = classifier.cut_for_finetuning()
    activations = classifier.features(photos, cut)
    classifier.export_trunk(tmp_path, cut)
    np.testing.assert_allclose(TrunkEngine(tmp_path / "trunk.xml").features(photos), activations,
                               atol=1e-4 * np.abs(activations).max())
    labels = np.eye(CLASSES, dtype=np.float32)[[0, 1, 2, 0]]
    rest, whole = classifier.after(cut).validate([(activations, labels)]), classifier.validate([(photos, labels)])
    assert rest.loss == pytest.approx(whole.loss, rel=1e-4) and rest.accuracy == whole.accuracy
    with pytest.raises(ModelError, match=f"cut after 'nothing'.*{cut}"):
        classifier.features(photos, "nothing")


@by_name()
def test_its_file_brings_it_back(name, tmp_path):
    """The file is what people keep; the one with a head that was trained on features, too."""
    classifier, photos, path = built(name), photos_for(name), tmp_path / "m.pth"
    classifier.save(path, {"class_names": ["a", "b", "c"]})
    room = room_of(f"timm/{name}")
    np.testing.assert_allclose(room.load(path, order_of(name)).predict(photos), classifier.predict(photos), atol=1e-6)
    head = classifier.head()
    other = replace(head, layers=tuple(replace(layer, kernel=layer.kernel * 2, bias=layer.bias + 1)
                                       for layer in head.layers))
    classifier.set_head(other)
    classifier.save(tmp_path / "other.pth", {})
    classifier.set_head(head)
    np.testing.assert_allclose(room.load(tmp_path / "other.pth", order_of(name)).predict(photos),
                               other.probabilities(classifier.features(photos)), atol=1e-5)


@by_name()
def test_its_artifact_predicts(name, tmp_path):
    """It runs without PyTorch."""
    classifier, photos = built(name), photos_for(name)
    artifact = write_artifact(tmp_path / "a", classifier.export_trunk, classifier.predict, photos, name,
                              ("a", "b", "c"))
    np.testing.assert_allclose(artifact.predict(photos), classifier.predict(photos), atol=1e-4)


@by_name()
@pytest.mark.usefixtures("one_thread")
def test_its_training_goes_on_in_a_fresh_network(name):
    """A run that was killed must end as it would have: weights, moments, statistics and dropout."""
    room, photos = room_of(f"timm/{name}"), photos_for(name)
    batches = [(photos[order], np.eye(CLASSES, dtype=np.float32)[order % CLASSES]) for order in (
        np.array([0, 1, 2, 3]), np.array([3, 1, 0, 2]))]
    room.seed(1, False)
    whole, stopped, fresh = (room.build(order_of(name)) for _ in range(3))
    for classifier in (whole, stopped):
        classifier.resume(built(name).snapshot(), classifier.training_state())
        classifier.train_epoch(batches[:1], lambda *_: None)
    fresh.resume(stopped.snapshot(), stopped.training_state())
    expected = whole.train_epoch(batches[1:], lambda *_: None)
    assert fresh.train_epoch(batches[1:], lambda *_: None).loss == pytest.approx(expected.loss, rel=1e-5)
    moved = 0.0
    for one, other, before in zip(whole.snapshot(), fresh.snapshot(), stopped.snapshot(), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6)
        moved = max(moved, float(np.abs(one - before).max()))
    assert moved > 1e-4, "the second epoch trains"


@by_name()
def test_each_place_of_its_map_is_where_the_photo_has_it(name):
    """Tokens in another order, registers among them or rows in the place of columns would light another corner."""
    from corner import moved_most_by

    side, room = OF_PLACES[name], room_of(f"timm/{name}")
    room.seed(1, False)
    classifier = room.build(replace(order_of(name), img_size=(side, side)))
    photos = np.random.default_rng(0).random((4, side, side, 3), dtype=np.float32)
    classifier.recompute_statistics([(photos, np.zeros((4, CLASSES), np.float32))])
    assert moved_most_by(classifier.features, side).tolist() == [[0, 1], [2, 3]]


@by_name()
def test_heat_lights_the_marked_corner(name, tmp_path):
    """A quarter would be chance."""
    from corner import share_of_found_corners

    n, epochs = (96, 5) if MARKED[name] > SIDES[name] else (48, 10 if name in {*QUICK, *LEARNING_RATES} else 12)
    assert share_of_found_corners(f"timm/{name}", tmp_path, side=MARKED[name], epochs=epochs, n=n, batch_size=12,
                                  learning_rate=LEARNING_RATES.get(name)) > 0.5


def test_a_class_token_alone_is_explained_at_the_last_blocks_input(torch):
    """Its final patches have no gradient: a heat map there would be empty."""
    name = "vit_small_patch14_reg4_dinov2"
    classifier = room_of(f"timm/{name}").build(order_of(name, options={"pooling": "token"}))
    assert classifier.last_conv_layer_name == "blocks.10"
    features, gradients = classifier.features_and_gradients(photos_for(name), np.array([0, 1, 2, 0]), "blocks.10")
    assert features.shape == gradients.shape == (4, 4, 4, 384)
    assert (np.abs(gradients).max(axis=(1, 2, 3)) > 0).all()


def test_weights_are_loaded_whole_or_refused(tmp_path, torch):
    """A network that is pretrained in part would look trained, and answer nonsense."""
    from safetensors.torch import load_file, save_file

    name, path = "test_resnet", tmp_path / "model.safetensors"
    plain = built(name).network.module.backbone.state_dict()
    classifier_too = {**{key: values.contiguous() for key, values in plain.items()}, "fc.weight": torch.ones(7, 2)}
    save_file(classifier_too, path)
    classifier = room_of(f"timm/{name}").build(order_of(name, weights_file=path))
    np.testing.assert_allclose(classifier.features(photos_for(name)), built(name).features(photos_for(name)), atol=1e-6)
    every, trainable = classifier.parameters
    assert trainable < every / 2, "the trunk is frozen at first"
    for spoil in (lambda state: state.pop("conv1.0.weight" if "conv1.0.weight" in state else "conv1.weight"),
                  lambda state: state.update({"layer9.weight": torch.ones(1)}),
                  lambda state: state.update({"bn1.weight": torch.ones(3)})):
        state = load_file(path)
        spoil(state)
        save_file(state, tmp_path / "spoilt.safetensors")
        with pytest.raises(WeightsError, match=r"(conv1.*not in the file|layer9.*in the file alone|bn1.*\(3,\))"):
            room_of(f"timm/{name}").build(order_of(name, weights_file=tmp_path / "spoilt.safetensors"))


@pytest.mark.real
def test_efficientnet_lite0_knows_real_photos_apart(shared):
    """Real weights, real preprocessing: features of one material lie nearer to each other than to another's."""
    from matlens.data.pixels.reader import PhotoReader

    name, file = f"timm/{REAL}", shared / "weights" / "timm" / REAL / "model.safetensors"
    classifier = room_of(name).build(BuildOrder(name, CLASSES, (224, 224), file))
    assert spec_of(name).preprocess == Standardise((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    root = shared / "data" / "trashnet-2527"
    paths = [sorted(root.rglob(f"{kind}/*.jpg"))[:6] for kind in ("cardboard", "glass")]
    pixels = np.stack([PhotoReader((224, 224)).read(path) for of_kind in paths for path in of_kind])
    features = classifier.features(pixels.astype(np.float32) / 255).mean((1, 2))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    alike = unit @ unit.T
    within = (alike[:6, :6].sum() - 6 + alike[6:, 6:].sum() - 6) / 60
    assert within > alike[:6, 6:].mean() + 0.05
