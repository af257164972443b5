"""GoogLeNet's files and weights: what fits, what is refused, and what is left out of the answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from matlens.errors import ModelError, WeightsError
from matlens.models.protocol import BuildOrder, room_of

pytestmark = pytest.mark.torch

CLASSES = 3


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.random.default_rng(0).random((4, 64, 64, 3), dtype=np.float32)


@pytest.fixture(scope="module")
def classifier(torch):
    torch.manual_seed(0)
    return room_of("inception_v1").build(BuildOrder("inception_v1", CLASSES, (64, 64)))


def test_parameters_are_those_of_a_network_without_auxiliary_classifiers(classifier):
    """The table compares what predicts: torchvision's count, and two statistics a normalised channel, as in Keras."""
    from torch import nn
    from torchvision.models import googlenet

    plain = googlenet(num_classes=CLASSES, aux_logits=False, init_weights=False)
    trainable = sum(values.numel() for values in plain.parameters())
    channels = sum(module.num_features for module in plain.modules() if isinstance(module, nn.BatchNorm2d))
    assert classifier.parameters == (trainable + 2 * channels, trainable)


def test_published_weights_arrive_in_every_layer_but_the_classifiers(torch, tmp_path):
    """A backbone that is left random would look pretrained in the table."""
    from torchvision.models import GoogLeNet

    torch.manual_seed(1)
    published = GoogLeNet(init_weights=False).state_dict()
    torch.save(published, tmp_path / "googlenet-1378be20.pth")
    built = room_of("inception_v1").build(
        BuildOrder("inception_v1", CLASSES, (64, 64), tmp_path / "googlenet-1378be20.pth"))
    for name, values in built.network.module.state_dict().items():
        if name.startswith(("fc.", "aux1.fc2.", "aux2.fc2.")):
            assert len(values) == CLASSES
        else:
            assert torch.equal(values, published[name]), name


@pytest.mark.slow
def test_a_file_of_another_network_is_named(torch, classifier, photos, tmp_path):
    """Other classes, other names, no tensors: a message with the file's name, and the network stays as it was."""
    from matlens import InceptionV1Wrapper

    room, order = room_of("inception_v1"), BuildOrder("inception_v1", CLASSES, (64, 64))
    classifier.save(tmp_path / "good.pth", {"class_names": ["a", "b", "c"]})
    assert json.loads((tmp_path / "good.json").read_text()) == {"class_names": ["a", "b", "c"]}
    whole = (tmp_path / "good.pth").read_bytes()
    (tmp_path / "half.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pth").touch()
    torch.save({"a": torch.zeros(1)}, tmp_path / "foreign.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("half.pth", "empty.pth", "foreign.pth", "list.pth"):
        with pytest.raises(ModelError, match=name):
            room.load(tmp_path / name, order)
        with pytest.raises(WeightsError, match=name):
            InceptionV1Wrapper(CLASSES, weights_file=tmp_path / name)
    with pytest.raises(WeightsError, match=r"missing\.pth"):
        InceptionV1Wrapper(CLASSES, weights_file=Path(tmp_path / "missing.pth"))
    with pytest.raises(ModelError, match=r"good\.pth.*4 classes"):
        room.load(tmp_path / "good.pth", BuildOrder("inception_v1", CLASSES + 1, (64, 64)))
    np.testing.assert_allclose(room.load(tmp_path / "good.pth", order).predict(photos), classifier.predict(photos),
                               atol=1e-6)


def test_auxiliary_classifiers_do_not_answer(torch, classifier, photos):
    """At inference there is one output, whatever the auxiliary classifiers hold."""
    before = classifier.predict(photos)
    with torch.no_grad():
        for values in (*classifier.network.module.aux1.parameters(), *classifier.network.module.aux2.parameters()):
            values.fill_(float("nan"))
    np.testing.assert_array_equal(classifier.predict(photos), before)
    assert classifier.predict(photos[:0]).shape == (0, CLASSES)


@pytest.mark.slow
def test_a_damaged_artifact_is_refused(torch, photos, tmp_path):
    """One flipped bit in any of its files."""
    from matlens.features.artifact import Artifact, write_artifact

    built = room_of("inception_v1").build(BuildOrder("inception_v1", CLASSES, (64, 64)))
    folder = tmp_path / "a"
    write_artifact(folder, built.export_trunk, built.predict, photos, "inception_v1", ("a", "b", "c"))
    for name in ("trunk.xml", "trunk.bin", "head.npz"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ModelError, match=name):
            Artifact.open(folder)
        (folder / name).write_bytes(whole)
    Artifact.open(folder)
    with pytest.raises(ModelError, match="differs from its framework"):
        write_artifact(tmp_path / "b", built.export_trunk, lambda images: built.predict(images) + 0.01, photos,
                       "inception_v1", ("a", "b", "c"))
    assert not (tmp_path / "b").exists()
