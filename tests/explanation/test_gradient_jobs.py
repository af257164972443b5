"""What the jobs that explain by a framework are given: photos as bytes, or as numbers from 0 to 1."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from matlens.workers.jobs import gradients as job


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_model_sees_the_same_photo_whichever_way_it_is_given(monkeypatch, tmp_path: Path, dtype) -> None:
    """Numbers that were divided by 255 again would explain a black photo."""
    photo = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(1, 2, 2, 3) * 20
    given = photo if dtype == np.uint8 else photo.astype(np.float32) / np.float32(255)
    seen = []

    def features_and_gradients(images, classes, layer):
        seen.append(images)
        return images, images

    monkeypatch.setattr(job, "load_trained", lambda run, name: SimpleNamespace(
        features_and_gradients=features_and_gradients, last_conv_layer_name="last"))
    monkeypatch.setattr(job.Run, "open", lambda path: None)
    np.savez(tmp_path / "photos.npz", photos=given, classes=np.array([0]))
    job.gradients(job.GradientsTask(tmp_path, "any", "", tmp_path / "photos.npz"), lambda *_, **__: None)
    np.testing.assert_allclose(seen[0], photo / 255, atol=1e-7)
