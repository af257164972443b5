"""Training that goes on from its states: the same numbers as without an interruption, in as many epochs."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from stand_ins import SILENT, Counter

from matlens.training.checkpoints import Checkpoints
from matlens.training.feature_batches import FeatureBatches
from matlens.training.head_training import HeadTrainer
from matlens.training.loop import fit
from matlens.training.strong import fit_strong
from matlens.types import Scores

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(60, 12)).astype(np.float32)
LABELS = (FEATURES[:, :3] + RNG.normal(size=(60, 3))).argmax(axis=1)
TRAIN, VAL = (FeatureBatches((FEATURES[part],), LABELS[part], 3, 8, seed=5, shuffle=True)
              for part in (slice(40), slice(40, 60)))


class Killed(BaseException):
    """Ends a training where a process would be killed."""


class Heard:
    """Listens to what becomes of states."""

    def __init__(self) -> None:
        self.resumed, self.warned = [], []

    def on_resume(self, epoch):
        self.resumed.append(epoch)

    def on_warning(self, text):
        self.warned.append(text)


def killed_after(epoch):
    """Progress that ends the training as soon as it is told of an epoch."""
    def on_epoch(done, improved):
        if done.number == epoch:
            raise Killed

    return SimpleNamespace(on_step=lambda *_: None, on_epoch=on_epoch)


def head(rate=1e-2):
    """A fresh head with dropout, whose validation loss falls and rises again."""
    return HeadTrainer.fresh(12, 16, 3, 0.5, rate, seed=5)


def trained(folder=None, progress=SILENT, heard=None, key="k", **options):
    """(head, history, epochs after which the model file was written)."""
    trainer, saved = head(), []
    states = folder and Checkpoints(folder, key, heard or Heard()).of("train", trainer)
    history = fit(trainer, TRAIN, VAL, progress, **({"epochs": 12} | options), states=states or None,
                  save_best=lambda: saved.append(trainer.snapshot()))
    return trainer, history, saved


def same(one, other):
    """Whether two trainings gave the same numbers, to the last bit."""
    assert one[1].history == other[1].history
    for ours, theirs in zip(one[0].snapshot(), other[0].snapshot(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("epoch", [1, 2, 5, 11, 12])
def test_a_killed_training_goes_on_with_the_next_epoch(tmp_path, epoch):
    """Who loses a session after epoch 2 must not pay for epochs 1 and 2 again, nor get another model."""
    whole, heard = trained(), Heard()
    with pytest.raises(Killed):
        trained(tmp_path, killed_after(epoch))
    seen = []
    progress = SimpleNamespace(on_step=lambda *_: None, on_epoch=lambda done, _: seen.append(done.number))
    again = trained(tmp_path, progress, heard)
    same(again, whole)
    assert seen == list(range(epoch + 1, 13))
    assert heard.resumed == ([epoch + 1] if epoch < 12 else []), "all epochs are done: there is none to go on with"
    assert heard.warned == []
    for ours, theirs in zip(again[2][-1], again[0].snapshot(), strict=True):
        np.testing.assert_array_equal(ours, theirs, err_msg="the model file must hold the best weights")


def test_the_counters_of_early_stopping_and_plateau_go_on(tmp_path):
    """Else a training that was interrupted would last longer, at another rate."""
    options = {"epochs": 40, "early_stopping_patience": 4, "reduce_lr_patience": 2}
    whole = trained(**options)
    stopped = len(whole[1].epochs)
    assert 5 < stopped < 40, "the test needs a training that ends early"
    assert len(set(whole[1].history["learning_rate"])) > 1, "and one whose rate falls"
    for epoch in (stopped - 3, stopped - 1):
        with pytest.raises(Killed):
            trained(tmp_path / str(epoch), killed_after(epoch), **options)
        same(trained(tmp_path / str(epoch), **options), whole)


@pytest.mark.parametrize("damage", [
    lambda data: data[:len(data) // 2], lambda data: b"", lambda data: b"not a state",
    lambda data: data[:len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1:]],
    ids=["half", "empty", "foreign", "one bit"])
def test_a_damaged_state_costs_one_epoch_and_is_named(tmp_path, damage):
    """A disk that lies must not cost the training, nor go unnoticed in it."""
    whole, heard = trained(), Heard()
    with pytest.raises(Killed):
        trained(tmp_path, killed_after(5))
    last = tmp_path / "train-0005.npz"
    last.write_bytes(damage(last.read_bytes()))
    same(trained(tmp_path, heard=heard), whole)
    assert heard.resumed == [5]
    assert "train-0005.npz" in heard.warned[0]


def test_a_state_never_unpickles(tmp_path):
    """A folder that came from a stranger must not run code."""
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self):
            return canary.touch, ()

    np.savez(tmp_path / "train-0003.npz", about=np.array([Evil()], dtype=object))
    heard = Heard()
    trained(tmp_path, heard=heard)
    assert not canary.exists()
    assert "train-0003.npz" in heard.warned[0]


def test_states_of_another_training_are_passed_over(tmp_path):
    """Half of one training and half of another would be neither."""
    with pytest.raises(Killed):
        trained(tmp_path, killed_after(3))
    heard = Heard()
    same(trained(tmp_path, heard=heard, key="another split"), trained())
    assert heard.resumed == []
    assert "other settings" in heard.warned[0]


class Fake:
    """A network whose validation losses are given; its weights are the number of epochs trained."""

    trains_statistics = False

    def __init__(self, losses):
        self.losses, self.trained, self.learning_rate = losses, 0, 1.0

    def train_epoch(self, batches, on_step):
        list(batches)
        self.trained += 1
        return Scores(1.0, 0.5)

    def validate(self, batches):
        return Scores(self.losses[self.trained - 1], 0.5)

    def snapshot(self):
        return [np.array(self.trained)]

    def restore(self, snapshot):
        self.trained = int(snapshot[0])

    def training_state(self):
        return {"steps": np.array(self.trained)}

    def resume(self, snapshot, state):
        self.restore(snapshot)
        assert state["steps"] == self.trained


def test_the_last_two_states_and_the_best_are_kept(tmp_path):
    """A state of VGG19 takes 1.7 GB. The best of the one before is needed if the last is lost."""
    kept = {}

    def look(epoch, improved):
        kept[epoch.number] = [int(file.stem.rpartition("-")[2]) for file in sorted(tmp_path.iterdir())]

    network = Fake([3, 1, 2, 4, 0.5, 6])
    fit(network, TRAIN, [], SimpleNamespace(on_step=lambda *_: None, on_epoch=look), epochs=6,
        states=Checkpoints(tmp_path, "k", Heard()).of("train", network))
    assert kept == {1: [1], 2: [1, 2], 3: [2, 3], 4: [2, 3, 4], 5: [2, 4, 5], 6: [5, 6]}


def test_states_that_would_come_too_often_are_left_out(tmp_path, monkeypatch):
    """An epoch of a head takes less than its state takes to be written; a state then holds the best weights, too."""
    now, losses = [0.0], [3, 1, 2, 4, 5]
    monkeypatch.setattr("matlens.training.checkpoints.time", SimpleNamespace(monotonic=lambda: now[0]))

    def later(epoch, improved):
        now[0] += 1.2
        if epoch.number == 3:
            raise Killed

    network, states = Fake(losses), Checkpoints(tmp_path, "k", Heard(), apart=2)
    with pytest.raises(Killed):
        fit(network, TRAIN, [], SimpleNamespace(on_step=SILENT.on_step, on_epoch=later), epochs=5,
            states=states.of("head", network))
    assert [path.name for path in tmp_path.iterdir()] == ["head-0003.npz"]
    heard, again, saved = Heard(), Fake(losses), []
    states = Checkpoints(tmp_path, "k", heard, apart=2)
    fit(again, TRAIN, [], SILENT, epochs=5, states=states.of("head", again),
        save_best=lambda: saved.append(again.trained))
    assert (heard.resumed, heard.warned, again.trained, saved) == ([4], [], 2, [2])


@pytest.mark.parametrize("damage", ["weights", "training", "best", "epochs", "number", "about"])
def test_a_state_of_other_content_costs_one_epoch(tmp_path, damage):
    """Its checksums are right, so only what is in it tells."""
    network, states = Fake([3, 2, 1]), Checkpoints(tmp_path, "k", Heard())
    with pytest.raises(Killed):
        fit(network, TRAIN, [], killed_after(3), epochs=5, states=states.of("train", network))
    path = tmp_path / "train-0003.npz"
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(arrays["about"].tobytes())
    if damage == "weights":
        arrays["weights/0"] = np.zeros((7, 7))
    elif damage == "training":
        arrays = {name: values for name, values in arrays.items() if not name.startswith("training/")}
    else:
        about |= {"best": {"best": []}, "epochs": {"epochs": []}, "number": {"best": 9}}.get(damage, {})
        arrays["about"] = np.frombuffer(json.dumps([] if damage == "about" else about).encode(), np.uint8)
    np.savez(path, **arrays)
    heard, again = Heard(), Fake([3, 2, 1, 4, 5])
    fit(again, TRAIN, [], SILENT, epochs=5, states=Checkpoints(tmp_path, "k", heard).of("train", again))
    assert heard.resumed == [3]
    assert any(str(path) in warning and "earlier epoch" in warning for warning in heard.warned)


@pytest.mark.parametrize("second_is_better", [True, False])
def test_a_second_stage_goes_on_as_such(tmp_path, second_is_better):
    """The first stage's states stay: its best weights may be those of the whole training."""
    losses = [3, 1, 2, 0.5 if second_is_better else 5, 4]

    def both(progress):
        network, heard, saved = Fake(losses), Heard(), []
        states = Checkpoints(tmp_path, "k", heard)
        history = fit(network, TRAIN, [], progress, epochs=3, states=states.of("train", network))
        network.trained = 3  # what stage two begins with, whatever the weights are that it begins from
        history = fit(network, TRAIN, [], progress, epochs=5, initial_epoch=3, history=history,
                      states=states.of("finetune", network), save_best=lambda: saved.append(network.trained))
        return network, history, heard, saved

    with pytest.raises(Killed):
        both(killed_after(4))
    network, history, heard, saved = both(SILENT)
    assert heard.resumed == [5]
    assert [epoch.val.loss for epoch in history] == losses
    assert (history.best.number, saved) == ((4, [4]) if second_is_better else (2, []))
    assert network.trained == (4 if second_is_better else 3)


def test_the_recipe_strong_goes_on_with_its_average_and_its_schedule(tmp_path):
    """Averaged weights are not those that are trained; both, and the place in the schedule, must come back."""
    losses = [3, 1, 2, 1.5]
    data = SimpleNamespace(epoch=lambda number: [(np.zeros((3, 1)), np.eye(4, dtype=np.float32)[:3])] * 3)

    def fitted(progress, folder, losses):
        network, saved = Counter(losses), []
        history = fit_strong(network, data, [], progress, epochs=4, steps=3,
                             checkpoints=Checkpoints(folder, "k", Heard()),
                             save_best=lambda: saved.append(float(network.weight[0])))
        return network, history, saved

    whole = fitted(SILENT, tmp_path / "whole", losses)
    with pytest.raises(Killed):
        fitted(killed_after(3), tmp_path / "killed", losses)
    again = fitted(SILENT, tmp_path / "killed", losses[3:])
    assert again[0].rates == whole[0].rates[9:]
    assert again[0].began == whole[0].began[3:]
    assert again[0].validated == whole[0].validated[3:]
    assert again[1].history == whole[1].history
    assert again[2] == [whole[2][-1]], "the model file is written anew, with the averaged weights of the best epoch"
    np.testing.assert_array_equal(again[0].weight, whole[0].weight)
