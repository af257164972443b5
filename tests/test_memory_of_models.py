"""A network that cannot fit into memory is refused before photos are decoded; the system would kill it midway."""

from __future__ import annotations

import os

import pytest

from matlens.errors import OutOfMemoryError
from matlens.jobs import machine
from matlens.jobs.machine import refuse_too_large
from matlens.models.library import LIBRARIES, ModelFacts
from matlens.settings.schema import Settings

GB = 10**9


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch):
    monkeypatch.setattr(machine, "has_nvidia_gpu", lambda: False)


def free(monkeypatch, gigabytes: float | None) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: None if gigabytes is None else int(gigabytes * GB))


def counted(monkeypatch, millions: int) -> str:
    """A network of timm that somebody has looked at; its name."""
    facts = ModelFacts(millions * 10**6, 0, (224, 224))
    monkeypatch.setattr(type(LIBRARIES["timm"].catalogue), "counted", lambda catalogue, name: facts)
    return "timm/huge_vit"


def test_all_of_a_network_is_trained_in_four_times_its_weights(monkeypatch):
    """1,000 million numbers of 4 bytes; the weights, their gradients and Adam's two means: 16 GB."""
    name = counted(monkeypatch, 1000)
    free(monkeypatch, 15.9)
    with pytest.raises(OutOfMemoryError, match=r"timm/huge_vit.*1,000 million.*16\.0 GB.*15\.9 GB.*probe") as said:
        refuse_too_large(Settings(), name, None)
    assert "matlens models 'timm/huge*' --count" in str(said.value)
    for gigabytes in (16.1, None):
        free(monkeypatch, gigabytes)
        refuse_too_large(Settings(), name, None)


def test_a_frozen_network_takes_its_weights_twice(monkeypatch, tmp_path):
    """The framework's, and what OpenVINO makes of them. Of a network that nobody counted, the file tells the size."""
    file = tmp_path / "vgg16.h5"
    file.touch()
    os.truncate(file, 3 * GB)
    free(monkeypatch, 5.9)
    with pytest.raises(OutOfMemoryError, match=r"keras/VGG16.*750 million.*6\.0 GB"):
        refuse_too_large(Settings(), "keras/VGG16", file)
    free(monkeypatch, 6.1)
    refuse_too_large(Settings(), "keras/VGG16", file)
    free(monkeypatch, 0.1)
    refuse_too_large(Settings(), "keras/VGG16", None)  # nobody knows how large it is
