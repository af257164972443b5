"""The frameworks on a real GPU: the numbers of the CPU where numbers are reported, and trainings that go on.

MATLENS_GPU_TESTS_ON=cpu runs these tests on a CPU, which checks the tests themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matlens.data.batches import PhotoBatches, part_batches
from matlens.data.prepare import Prepared, prepare
from matlens.errors import DeviceError
from matlens.features.engine import TrunkEngine
from matlens.models.protocol import BuildOrder, Divisible, Room, room_of
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from processes import GPU_TESTS_ON as GPU

SIDE, CLASSES = 64, 4

pytestmark = [pytest.mark.gpu, pytest.mark.parametrize("model", [
    pytest.param("inception_v1", marks=pytest.mark.torch), pytest.param("vgg19_scratch", marks=pytest.mark.keras),
    pytest.param("mobilenetv2_transfer", marks=pytest.mark.keras)])]


@pytest.fixture(scope="module")
def prepared(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    settings = Settings.load(options={"data_dir": drawn, "img_size": SIDE, "weights": "none",
                                      "cache_dir": tmp_path_factory.mktemp("cache")})
    return prepare(settings, Reporter(quiet=True))


@pytest.fixture
def room(model: str) -> Room:
    return room_of(model)


def built(room: Room, model: str, device: str = GPU, precision: str = "float32") -> Divisible:
    room.seed(3, False)
    return room.build(BuildOrder(model, CLASSES, (SIDE, SIDE), precision=precision, device=device))


def batches_of(prepared: Prepared, *, augmented: bool = False) -> PhotoBatches:
    return part_batches(prepared.split, "train", prepared.store, 8, seed=1, augmented=augmented)


def given(classifier: Divisible, batches: PhotoBatches) -> list[Any]:
    """Two batches, in the form that the classifier asks for."""
    chosen = batches.as_bytes() if classifier.takes_bytes else batches
    return list(chosen.epoch(0))[:2]


def unseen(step: int, read: Any) -> None:
    """No progress."""


def photos_of(prepared: Prepared) -> np.ndarray:
    return prepared.store.read(range(8))


def test_what_is_reported_is_the_cpus(room: Room, model: str, prepared: Prepared, tmp_path: Path) -> None:
    """TF32 in a prediction or a validation is off by more than what an artifact is refused for."""
    classifier = built(room, model)
    classifier.train_epoch(given(classifier, batches_of(prepared)), unseen)
    file = tmp_path / f"model{'.pth' if model == 'inception_v1' else '.h5'}"
    classifier.save(file, {})
    on_cpu = room.load(file, BuildOrder(model, CLASSES, (SIDE, SIDE), device="cpu"))
    photos = photos_of(prepared).astype(np.float32) / np.float32(255)
    np.testing.assert_allclose(classifier.predict(photos), on_cpu.predict(photos), atol=1e-5)
    largest = np.abs(on_cpu.features(photos)).max()
    np.testing.assert_allclose(classifier.features(photos), on_cpu.features(photos), atol=1e-4 * largest)
    val = list(part_batches(prepared.split, "val", prepared.store, 8).epoch(0))
    assert classifier.validate(val).loss == pytest.approx(on_cpu.validate(val).loss, rel=1e-4)


def test_an_artifact_of_a_network_on_the_gpu_is_that_network(room: Room, model: str, prepared: Prepared,
                                                             tmp_path: Path) -> None:
    """Trained models were thrown away for a difference that was TF32's."""
    classifier = built(room, model)
    classifier.train_epoch(given(classifier, batches_of(prepared)), unseen)
    photos = photos_of(prepared).astype(np.float32) / np.float32(255)
    head = classifier.export_trunk(tmp_path)
    of_artifact = head.probabilities(TrunkEngine(tmp_path / "trunk.xml").features(photos))
    np.testing.assert_allclose(of_artifact, classifier.predict(photos), atol=1e-4)


def test_bytes_are_varied_on_the_device_as_floats_are_on_the_host(room: Room, model: str, prepared: Prepared) -> None:
    """The same variations of the same photos: else a GPU would train by another recipe than a CPU.

    A validation shows it: in a training step of few photos, batch normalisation makes much of the 2/255 by which host
    and device may differ. Photos as they are differ by nothing, and so do the losses of their training steps.
    """
    plain, varied = (batches_of(prepared, augmented=augmented) for augmented in (False, True))
    classifier, trained = built(room, model), []
    classifier.recompute_statistics(list(plain.epoch(0)))
    on_host, on_device, as_they_are = (classifier.validate(list(form.epoch(0))[:1]).loss
                                       for form in (varied, varied.as_bytes(), plain))
    assert on_device == pytest.approx(on_host, rel=0.05)
    assert abs(on_device - on_host) < abs(as_they_are - on_host) / 2
    for form in (plain, plain.as_bytes()):
        trained.append(built(room, model).train_epoch(list(form.epoch(0))[:1], unseen).loss)
    assert trained[1] == pytest.approx(trained[0], rel=0.01)


def test_a_training_goes_on_in_a_fresh_network(room: Room, model: str, prepared: Prepared) -> None:
    """With the weights, the optimiser's moments and the dropout of the uninterrupted one."""
    first, second = (built(room, model) for _ in range(2))
    one, two = given(first, batches_of(prepared))
    first.train_epoch([one], unseen)
    weights, state = first.snapshot(), first.training_state()
    weights, state = [values.copy() for values in weights], {name: values.copy() for name, values in state.items()}
    expected = first.train_epoch([two], unseen)
    second.resume(weights, state)
    assert second.train_epoch([two], unseen).loss == pytest.approx(expected.loss, rel=1e-3)


def test_every_size_of_batch_is_trained_on(room: Room, model: str, prepared: Prepared) -> None:
    """A recorded step has one shape; the last batch of an epoch, and a larger one later, have others."""
    classifier = built(room, model)
    (images, labels), _ = given(classifier, batches_of(prepared))
    many = [(images, labels)] * 8 + [(images[:3], labels[:3])] + [(images, labels)] * 3
    before = [values.copy() for values in classifier.snapshot()]
    scores = classifier.train_epoch(many, unseen)
    assert np.isfinite(scores.loss)
    assert any((one != other).any() for one, other in zip(before, classifier.snapshot(), strict=True))
    assert np.isfinite(classifier.validate([(images, labels), (images[:5], labels[:5])]).loss)


def test_features_computed_on_the_device_are_the_exact_ones(room: Room, model: str, prepared: Prepared) -> None:
    """Shorter types may be used inside, within 1e-3 of the largest feature; averages over places are averages."""
    classifier, pixels = built(room, model), photos_of(prepared)
    exact = classifier.features(pixels.astype(np.float32) / np.float32(255))
    maps, pooled = (classifier.features_of(pixels, None, pooled) for pooled in (False, True))
    assert (maps.dtype, pooled.dtype, maps.shape) == (np.float32, np.float32, exact.shape)
    np.testing.assert_allclose(maps, exact, atol=2e-3 * np.abs(exact).max())
    np.testing.assert_allclose(pooled, exact.mean(axis=(1, 2)), atol=2e-3 * np.abs(exact.mean(axis=(1, 2))).max())


def test_averaged_weights_are_the_average(room: Room, model: str, prepared: Prepared) -> None:
    """By hand: three quarters of the old weights and a quarter of the new ones."""
    classifier = built(room, model)
    old = [values.copy() for values in classifier.snapshot()]
    average = classifier.average()
    classifier.train_epoch(given(classifier, batches_of(prepared)), unseen)
    new = [values.copy() for values in classifier.snapshot()]
    average.update(0.75)
    for mean, before, after in zip(average.weights(), old, new, strict=True):
        expected = 0.75 * before + 0.25 * after if np.issubdtype(before.dtype, np.floating) else after
        np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-6)
    with average.swapped():
        for inside, mean in zip(classifier.snapshot(), average.weights(), strict=True):
            np.testing.assert_array_equal(inside, mean)
    for restored, after in zip(classifier.snapshot(), new, strict=True):
        np.testing.assert_array_equal(restored, after)


@pytest.mark.parametrize("precision", ["auto", "float16"])
def test_mixed_precision_learns(room: Room, model: str, prepared: Prepared, precision: str) -> None:
    """What is measured to choose an arithmetic must leave no trace, and gradients must not vanish in it."""
    if GPU == "cpu" and precision == "float16":
        pytest.skip("no CPU trains in float16")
    classifier = built(room, model, precision=precision)
    batch = given(classifier, batches_of(prepared))[:1]
    first = classifier.train_epoch(batch, unseen).loss
    later = [classifier.train_epoch(batch, unseen).loss for _ in range(12)]
    assert classifier.precision in (("float32", "bfloat16", "float16") if precision == "auto" else (precision,))
    assert min(later) < first


def test_a_preflight_tells_a_card_that_works_from_one_that_is_not_there(room: Room, model: str) -> None:
    """A run begins on the card by itself, and a wrong number is named before anything is trained."""
    found = room.preflight(None)
    assert found.device.startswith(GPU), found.warning
    assert found.warning == ""
    with pytest.raises(DeviceError, match="cuda:99"):
        room.preflight("cuda:99")


def test_the_network_is_where_it_was_asked_to_be(room: Room, model: str) -> None:
    """A GPU must be left alone where the CPU is named: another program may need its memory."""
    assert str(built(room, model).device).startswith(GPU)
    assert str(built(room, model, device="cpu").device) == "cpu"
