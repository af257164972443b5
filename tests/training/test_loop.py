"""The training loop with a stand-in for a network, and the search for weights."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from stand_ins import SILENT

from matlens.errors import ModelError, WeightsError
from matlens.models import weights
from matlens.models.registry import MODELS
from matlens.training.history import History
from matlens.training.loop import fit
from matlens.types import Scores


class Fake:
    """A classifier whose validation losses are given; its weights are the number of epochs trained."""

    def __init__(self, losses: list[float]) -> None:
        self.losses, self.trained, self.learning_rate, self.trains_statistics = losses, 0, 1.0, False

    def train_epoch(self, batches, on_step):
        assert len(list(batches)) == 2
        self.trained += 1
        return Scores(1.0, 0.5)

    def validate(self, batches):
        return Scores(self.losses[self.trained - 1], 0.5)

    def snapshot(self):
        return self.trained

    def restore(self, snapshot):
        self.restored = snapshot


DATA = SimpleNamespace(epoch=lambda number: [(np.zeros(4), np.zeros(4))] * 2, head=lambda n: [])


def test_the_best_weights_are_saved_and_restored():
    """The last epoch is seldom the best."""
    model, saved = Fake([3, 1, 2, 1, 0.5, 4]), []
    history = fit(model, DATA, [], SILENT, epochs=6, save_best=lambda: saved.append(model.trained))
    assert saved == [1, 2, 5]
    assert model.restored == history.best.number == 5
    assert history.history["val_loss"] == [3, 1, 2, 1, 0.5, 4]


def test_training_stops_and_slows_down_as_asked():
    """Patience 2 to slow down, 3 to stop."""
    model = Fake([1, 2, 2, 2, 2, 2])
    history = fit(model, DATA, [], SILENT, epochs=6, early_stopping_patience=3, reduce_lr_patience=2)
    assert len(history.epochs) == 4
    assert history.history["learning_rate"] == pytest.approx([1, 1, 1, 0.1])


def test_a_second_stage_must_beat_the_first():
    """Fine-tuning that makes it worse must not replace the better model."""
    model, saved = Fake([1, 2, 3]), []
    history = fit(model, DATA, [], SILENT, epochs=1)
    fit(model, DATA, [], SILENT, epochs=3, initial_epoch=1, history=history, save_best=lambda: saved.append(1))
    assert (saved, model.restored, [epoch.number for epoch in history]) == ([], 1, [1, 2, 3])
    assert isinstance(history, History)


def test_divergence_is_an_error_not_a_result():
    """NaN would otherwise be compared, and never be best."""
    with pytest.raises(ModelError, match="diverged in epoch 2"):
        fit(Fake([1, float("nan")]), DATA, [], SILENT, epochs=3)


def test_weights_are_looked_for_in_order_and_never_downloaded_if_there(tmp_path, monkeypatch):
    """A folder that the user names comes first, in any of its three shapes; then the framework's cache."""
    info = MODELS["mobilenetv2_transfer"]
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(weights, "_download", lambda *_: pytest.fail("downloaded"))
    (tmp_path / "w").mkdir()
    for folder in (tmp_path / "keras" / "models", tmp_path / "w" / "hub" / "checkpoints", tmp_path / "w" / "models",
                   tmp_path / "w"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
        assert weights.find_weights(info, "imagenet", tmp_path / "w").path == folder / name
        assert weights.find_weights(info, "imagenet", tmp_path / "w", side=96).path == folder / name
    assert weights.find_weights(info, "none", tmp_path / "w").path is None


def test_without_network_auto_goes_on_and_says_so(tmp_path, monkeypatch):
    """The remark stands in the results and in the table."""
    def refuse(*_):
        raise OSError("no network")

    monkeypatch.setattr(weights, "_download", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = weights.find_weights(MODELS["inception_v1"], "auto")
    assert (found.path, "random weights" in found.remark) == (None, True)
    with pytest.raises(WeightsError, match="googlenet-1378be20"):
        weights.find_weights(MODELS["inception_v1"], "imagenet")
    assert weights.find_weights(MODELS["vgg19_scratch"], "imagenet").path is None
