"""train_model on GoogLeNet: the same promises in the other room."""

from __future__ import annotations

import numpy as np
import pytest

from matlens import InceptionV1Wrapper, create_split, train_model
from matlens.data.batches import part_batches
from matlens.data.prepare import prepare
from matlens.errors import DataError, ModelError, SettingsError
from matlens.settings.schema import Settings
from matlens.system.console import Reporter

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

CLASSES = 3
SIDE = 32


def batches(sizes: tuple[int, ...], seed: int, classes: int = CLASSES) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [(rng.random((size, SIDE, SIDE, 3), dtype=np.float32),
             np.eye(classes, dtype=np.float32)[rng.integers(0, classes, size)]) for size in sizes]


TRAIN = batches((4, 2), 0)
VAL = batches((4, 1), 1)


def make() -> InceptionV1Wrapper:
    """The same each time."""
    return InceptionV1Wrapper(CLASSES, pretrained=False, device="cpu", seed=5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(wrapper, history, folder) of two epochs."""
    folder = tmp_path_factory.mktemp("models")
    wrapper = make()
    return wrapper, train_model(wrapper, TRAIN, VAL, "inception_v1", epochs=2, save_dir=folder, verbose=0), folder


def test_history_has_the_guides_keys(trained):
    """One function draws the curves of all four models."""
    _, found, folder = trained
    assert list(found.history) == ["loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"]
    assert {len(values) for values in found.history.values()} == {2}
    assert found.history["learning_rate"] == [1e-3, 1e-3]
    assert "inception_v1.pth" in {path.name for path in folder.iterdir()}


def test_the_file_opens_in_torchvision_and_in_ours_to_the_same_answers(torch, trained):
    """The .pth is what people keep."""
    from torchvision.models import googlenet

    wrapper, _, folder = trained
    expected = wrapper.predict(VAL[0][0])
    plain = googlenet(num_classes=CLASSES, aux_logits=False, init_weights=False)
    plain.load_state_dict(torch.load(folder / "inception_v1.pth", weights_only=True))
    plain.eval()
    with torch.no_grad():
        logits = plain(torch.as_tensor(VAL[0][0]).permute(0, 3, 1, 2) * 2 - 1)
    np.testing.assert_allclose(torch.softmax(logits, 1), expected, atol=1e-5)
    again = make()
    again.load(folder / "inception_v1.pth")
    np.testing.assert_allclose(again.predict(VAL[0][0]), expected, atol=1e-6)


def test_validation_is_a_mean_over_photos_of_the_best_weights(trained):
    """A last batch of one photo must not count as a whole one: the loss by hand from the answers."""
    wrapper, found, _ = trained
    images, labels = (np.concatenate(arrays) for arrays in zip(*VAL, strict=True))
    probabilities = wrapper.predict(images)
    assert found.best.val.loss == pytest.approx(float(-np.log(probabilities[labels == 1]).mean()), rel=1e-3)
    assert found.best.val.accuracy == pytest.approx(float((probabilities.argmax(1) == labels.argmax(1)).mean()))


@pytest.mark.parametrize("kind", ["tensors", "generator"])
def test_tensors_and_generators_train_alike(torch, trained, tmp_path, kind):
    """A DataLoader gives tensors; the first epoch must be the list's."""
    given = [tuple(map(torch.as_tensor, batch)) for batch in TRAIN] if kind == "tensors" else iter(TRAIN)
    val = VAL if kind == "tensors" else iter(VAL)
    found = train_model(make(), given, val, "m", epochs=1, save_dir=tmp_path, verbose=0)
    assert found.history["loss"][0] == pytest.approx(trained[1].history["loss"][0], rel=1e-4)
    assert found.history["val_loss"][0] == pytest.approx(trained[1].history["val_loss"][0], rel=1e-3)


@pytest.mark.slow
def test_our_photo_batches_train_in_a_new_order_each_epoch(drawn, tmp_path):
    """The same photos and seed give the same history, run after run."""
    create_split(drawn, tmp_path / "prepared")
    ready = prepare(Settings(data_dir=tmp_path / "prepared", img_size=SIDE, cache_dir=tmp_path / "cache"),
                    Reporter(quiet=True))
    train = part_batches(ready.split, "train", ready.store, 16, seed=3, shuffle=True)
    val = part_batches(ready.split, "val", ready.store, 16)
    next(iter(train))
    histories = [train_model(InceptionV1Wrapper(4, pretrained=False, device="cpu"), train, val, "m", epochs=2,
                             save_dir=tmp_path, verbose=0).history for _ in range(2)]
    for name, values in histories[0].items():
        assert values == pytest.approx(histories[1][name], rel=1e-4), name


def test_silence(tmp_path, capsys):
    """verbose=0, for loops over many settings."""
    train_model(make(), TRAIN[:1], VAL[:1], "m", epochs=1, save_dir=tmp_path, verbose=0)
    assert capsys.readouterr() == ("", "")


@pytest.fixture(scope="module", params=[False, True], ids=["here", "in a child"])
def untrained(request) -> InceptionV1Wrapper:
    return InceptionV1Wrapper(CLASSES, pretrained=False, device="cpu", in_child=request.param)


@pytest.mark.parametrize(("train", "options", "error", "named"), [
    (batches((4,), 0, classes=4), {}, ModelError, r"3 outputs, but train_ds has 4"),
    ([(images, labels.argmax(1)) for images, labels in TRAIN], {}, DataError, "one-hot"),
    ([], {}, DataError, "no batch"), ("a generator", {}, DataError, "generator"),
    (TRAIN, {"initial_epoch": 2}, SettingsError, "nothing to train"),
    (TRAIN, {"name": "a/b"}, SettingsError, "no file name")], ids=lambda value: None)
def test_slips_are_named(untrained, tmp_path, train, options, error, named):
    """As for Keras models, and not as an error of the process that PyTorch runs in."""
    given = iter(TRAIN) if train == "a generator" else train
    settings = {"name": "m", "epochs": 2, "save_dir": tmp_path / "models", "verbose": 0, **options}
    with pytest.raises(error, match=named):
        train_model(untrained, given, VAL, **settings)
    assert not (tmp_path / "models").exists()
