"""Photos as bytes on their way to a device, and what becomes of them there."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from small_networks import CLASSES, unseen

from matlens.models.protocol import BuildOrder, room_of
from matlens.types import BytePhotos

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

HEIGHT, WIDTH = 90, 120


def smooth_photos(count):
    """Hills of colour: OpenCV's 32 steps between pixels matter little there."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = rng.uniform(0.02, 0.12, (count, 3, 2))
    photos = [[128 + 110 * np.sin(across * x + down * y + across * 40) for across, down in each] for each in waves]
    return np.moveaxis(np.array(photos), 1, -1).round().astype(np.uint8)


def variation(rng):
    """The numbers of `augment`, drawn as it draws them."""
    flip = -1.0 if rng.random() < 0.5 else 1.0
    angle, zoom = rng.uniform(-0.1, 0.1) * 2 * np.pi, 1.0 + rng.uniform(-0.1, 0.1)
    down, right = rng.uniform(-0.1, 0.1, size=2) * (HEIGHT, WIDTH)
    contrast = rng.uniform(0.9, 1.1)
    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    turn = zoom * np.array([[flip * np.cos(angle), -flip * np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn, middle - turn @ (middle + np.array([right, down]))]), contrast


def test_a_device_varies_photos_as_the_host_does(torch):
    """Whether a GPU trains must not decide on what it is trained."""
    from matlens.data.pixels.augment import augment
    from matlens.models.torch.gpu.feeder import photos_on

    photos = smooth_photos(6)
    expected = np.stack([augment(photo, np.random.default_rng([1, 2, number, 1]))
                         for number, photo in enumerate(photos)])
    warps, contrasts = zip(*[variation(np.random.default_rng([1, 2, number, 1])) for number in range(6)], strict=True)
    given = BytePhotos(photos, np.stack(warps), np.array(contrasts, dtype=np.float32))
    found = photos_on(given, torch.device("cpu")).floats()
    assert found.is_contiguous(memory_format=torch.channels_last)
    difference = np.abs(found.permute(0, 2, 3, 1).numpy() - expected)
    assert np.quantile(difference, 0.99) < 2 / 255
    assert difference.max() < 6 / 255


def test_bytes_that_are_not_varied_are_the_floats_of_the_host(torch):
    """Training on bytes and on floats is then the same to the bit on a CPU."""
    from matlens.models.torch.gpu.feeder import photos_on

    photos = np.arange(2 * 16 * 8 * 3, dtype=np.uint8).reshape(2, 16, 8, 3)
    found = photos_on(BytePhotos(photos), torch.device("cpu")).floats()
    np.testing.assert_array_equal(found.permute(0, 2, 3, 1), photos.astype(np.float32) / np.float32(255))


def test_batches_arrive_as_they_were_given(torch):
    """Memory is used again for every third batch, of whatever kind, size or shape."""
    from matlens.models.torch.gpu.feeder import Feeder

    rng, feeder = np.random.default_rng(0), Feeder(torch.device("cpu"))
    labels = np.eye(3, dtype=np.float32)
    given = [(rng.random((size, 4, 5, 2), dtype=np.float32), labels[:size]) for size in (3, 3, 2, 3, 3, 1, 3)]
    given += [(BytePhotos(rng.integers(0, 256, (size, 4, 4, 3), dtype=np.uint8), rng.random((size, 2, 3)) if varied
                          else None, rng.random(size, dtype=np.float32) if varied else None), labels[:size])
              for size, varied in ((2, True), (3, True), (3, True), (1, False), (2, True), (3, False), (3, False))]
    arrived = 0
    for (images, target), (photos, there) in zip(given, feeder.fed(given), strict=True):
        np.testing.assert_array_equal(there, target)
        if isinstance(images, BytePhotos):
            np.testing.assert_array_equal(photos.pixels, images.pixels)
            for ours, theirs in ((photos.warps, images.warps), (photos.contrasts, images.contrasts)):
                assert (ours is None) == (theirs is None)
                if theirs is not None:
                    np.testing.assert_array_equal(ours, theirs.astype(np.float32))
        else:
            np.testing.assert_array_equal(photos, images)
        arrived += 1
    assert arrived == len(given)


def test_a_batch_is_asked_for_when_the_one_before_was_used(torch):
    """The recipe `strong` averages weights when it is asked for the next batch: the step must be done by then."""
    from matlens.models.torch.gpu.feeder import Feeder

    told = []

    def batches():
        for number in range(3):
            told.append(f"asked {number}")
            yield np.full((1, 2, 2, 3), number, np.float32), np.ones((1, 2), np.float32)

    for photos, _ in Feeder(torch.device("cpu")).fed(batches()):
        told.append(f"used {int(photos[0, 0, 0, 0])}")
    assert told == ["asked 0", "used 0", "asked 1", "used 1", "asked 2", "used 2"]


def test_a_network_takes_bytes_and_floats_alike(torch, monkeypatch):
    """Training, statistics, validation and features."""
    monkeypatch.setenv("MATLENS_BYTES_TO_DEVICE", "1")
    pixels = np.random.default_rng(1).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    labels = np.eye(CLASSES, dtype=np.float32)[[0, 1, 2, 0]]
    floats = pixels.astype(np.float32) / np.float32(255)
    room, scores, features = room_of("inception_v1"), [], []
    for images in (BytePhotos(pixels), floats):
        room.seed(1, False)
        classifier = room.build(BuildOrder("inception_v1", CLASSES, device="cpu"))
        assert classifier.takes_bytes
        assert not classifier.after("inception4d").takes_bytes
        trained = classifier.train_epoch([(images, labels)], unseen)
        classifier.recompute_statistics([(images, labels)])
        scores.append((trained, classifier.validate([(images, labels)])))
        features.append(classifier.features_of(pixels, "inception4a", False))
    assert scores[0] == scores[1]
    np.testing.assert_array_equal(features[1], classifier.features(floats, "inception4a"))
    pooled = classifier.features_of(pixels, None, True)
    np.testing.assert_allclose(pooled, classifier.features(floats).mean((1, 2)), atol=1e-6)
    assert classifier.features_of(pixels[:0], None, True).shape == (0, 1024)


def test_what_keras_on_pytorch_takes_needs_no_torchvision():
    """torchvision may not be installed there."""
    code = ("import sys; sys.modules['torchvision'] = None\n"
            "import matlens.models.torch.device_photos, matlens.models.torch.devices\n"
            "import matlens.models.torch.gpu.feeder, matlens.models.torch.gpu.steps\n"
            "import matlens.models.torch.gpu.averages, matlens.models.torch.gpu.arithmetic\n"
            "from matlens.models.seeding import seed_everything\n"
            "seed_everything(1)")
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
