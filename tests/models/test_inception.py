"""InceptionV1Wrapper: the same network here and in a child process, and torchvision's own files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from matlens import InceptionV1Wrapper, train_model
from matlens.errors import DataError, ModelError, WeightsError, WorkerError
from matlens.notebook.inception import Device

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

CLASSES = 4
SIDE = 32


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.random.default_rng(0).random((5, SIDE, SIDE, 3), dtype=np.float32)


@pytest.fixture(scope="module")
def batches(photos) -> list[tuple[np.ndarray, np.ndarray]]:
    labels = np.eye(CLASSES, dtype=np.float32)[[0, 1, 2, 3, 0]]
    return [(photos[:3], labels[:3]), (photos[3:], labels[3:])]


def make(in_child: bool) -> InceptionV1Wrapper:
    return InceptionV1Wrapper(CLASSES, pretrained=False, device="cpu", seed=5, in_child=in_child)


def awake(wrapper: InceptionV1Wrapper, batches) -> InceptionV1Wrapper:
    """With normalisation fitted to the photos: random weights alone answer the same to everything."""
    wrapper.classifier.recompute_statistics(batches[:1])
    return wrapper


@pytest.fixture(scope="module")
def here(torch, batches) -> InceptionV1Wrapper:
    return awake(make(False), batches)


@pytest.fixture(scope="module")
def far(batches) -> InceptionV1Wrapper:
    return awake(make(True), batches)


def running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_both_answer_alike_for_the_same_seed(here, far, photos):
    """A notebook's results must not depend on whether Keras was used before."""
    assert far.get_trainable_params_count() == here.get_trainable_params_count()
    assert (far.num_classes, far.pretrained) == (here.num_classes, here.pretrained) == (CLASSES, False)
    expected = here.predict(photos)
    assert np.ptp(expected, axis=0).max() > 0.01, "else any two networks would agree"
    np.testing.assert_allclose(far.predict(photos), expected, atol=1e-5)
    many = np.concatenate([photos] * 14)  # more than go into one message
    np.testing.assert_allclose(far.predict(many), np.concatenate([expected] * 14), atol=1e-5)
    assert far.predict(photos[:0]).shape == here.predict(photos[:0]).shape == (0, CLASSES)


@pytest.mark.parametrize("layer", ["inception5b", "inception4e", "conv1"])
def test_both_see_the_same_features_and_gradients(here, far, photos, layer):
    """Heat maps must not depend on it either."""
    classes = np.array([0, 1, 2, 3, 0])
    expected = here.classifier.features_and_gradients(photos, classes, layer)
    for found, wanted in zip(far.classifier.features_and_gradients(photos, classes, layer), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5 * max(1, np.abs(wanted).max()))
    assert far.classifier.last_conv_layer_name == here.classifier.last_conv_layer_name


@pytest.mark.slow
def test_both_train_save_and_load_alike(torch, photos, batches, tmp_path):
    """Dropout, order and optimiser included: one epoch to 1e-5."""
    wrappers = [make(in_child) for in_child in (False, True)]
    histories = [train_model(wrapper, batches, batches, f"m{number}", epochs=1, save_dir=tmp_path, verbose=0).history
                 for number, wrapper in enumerate(wrappers)]
    for name, values in histories[0].items():
        assert values == pytest.approx(histories[1][name], abs=1e-5), name
    expected = wrappers[0].predict(photos)
    np.testing.assert_allclose(wrappers[1].predict(photos), expected, atol=1e-4)
    states = [torch.load(tmp_path / f"m{number}.pth", weights_only=True) for number in (0, 1)]
    assert states[0].keys() == states[1].keys()
    wrappers[1].save(tmp_path / "again.pth")
    for wrapper, file in ((wrappers[0], "again.pth"), (wrappers[1], "m0.pth")):
        wrapper.load(tmp_path / file)
    np.testing.assert_allclose(wrappers[1].predict(photos), expected, atol=1e-5)


def test_the_module_of_a_child_says_why_it_cannot_be_had(far, here):
    """An AttributeError would send people hunting; the message says what works and what to do."""
    with pytest.raises(ModelError, match=r"process of its own.*TensorFlow.*before anything of Keras"):
        _ = far.model
    assert type(here.model).__name__ == "GoogLeNet"


def test_devices_read_as_in_torch(torch, here, far):
    """The guide prints wrapper.device."""
    assert str(far.device) == str(here.device) == "cpu"
    for name in ("cpu", "cuda", "cuda:1", "mps:0"):
        found, expected = Device.named(name), torch.device(name)
        assert (str(found), found.type, found.index) == (str(expected), expected.type, expected.index)


@pytest.mark.slow
def test_errors_of_the_child_keep_their_class(far, photos, tmp_path):
    """except ModelError in a notebook must work in both places, and the child goes on."""
    expected = far.predict(photos)
    (tmp_path / "text.pth").write_text("no weights")
    for name in ("text.pth", "missing.pth"):
        with pytest.raises(ModelError, match=name):
            far.load(tmp_path / name)
    with pytest.raises(ModelError, match="no layer 'block5_conv4'"):
        far.classifier.features_and_gradients(photos, np.zeros(5, np.int64), "block5_conv4")
    with pytest.raises(ModelError, match=r"\(5, 32, 32\)"):
        far.predict(photos[..., 0])
    with pytest.raises(WeightsError, match=r"text\.pth"):
        InceptionV1Wrapper(CLASSES, weights_file=tmp_path / "text.pth", in_child=True)
    np.testing.assert_array_equal(far.predict(photos), expected)


class Strange(Exception):
    pass


@pytest.mark.parametrize("in_child", [False, True])
def test_an_error_in_the_users_batches_is_raised_as_it_is(here, far, photos, batches, tmp_path, in_child):
    """The user's own traceback, and a model that still works."""
    wrapper = far if in_child else here
    wrapper.save(tmp_path / "before.pth")

    class Failing:
        def __iter__(self):
            yield batches[0]
            raise Strange("photo 17 is gone")

    for train, val in ((Failing(), batches), (batches, Failing())):
        with pytest.raises(Strange, match="photo 17"):
            train_model(wrapper, train, val, "m", epochs=1, save_dir=tmp_path, verbose=0)
        assert np.isfinite(wrapper.predict(photos)).all()
    found = train_model(wrapper, batches, batches, "m", epochs=1, save_dir=tmp_path, verbose=0)
    assert np.isfinite(found.history["loss"]).all()
    wrapper.load(tmp_path / "before.pth")


@pytest.mark.slow
def test_a_child_that_is_killed_is_named_then_and_later(photos, batches, tmp_path):
    """As when memory runs out: no hang, no BrokenPipeError, and a word on what to do."""
    wrapper = make(True)
    child = wrapper.classifier._child
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match=r"process of the model ended \(code -9\)"):
        wrapper.predict(photos)
    for use in (lambda: wrapper.predict(photos), lambda: wrapper.save(tmp_path / "m.pth"),
                lambda: train_model(wrapper, batches, batches, "m", epochs=1, save_dir=tmp_path, verbose=0)):
        with pytest.raises(WorkerError, match="build the model again"):
            use()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
def test_a_child_ends_with_its_wrapper():
    """Cells that are run again would otherwise leave one process after the other."""
    wrapper = make(True)
    pid = wrapper.classifier._child.pid
    assert running(pid)
    del wrapper
    assert not running(pid)


PARENT = """
import time
from matlens import InceptionV1Wrapper
wrapper = InceptionV1Wrapper(2, pretrained=False, device="cpu", in_child=True)
print(wrapper.classifier._child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="reads /proc")
def test_a_child_does_not_outlive_a_killed_parent():
    """A killed kernel must not leave a process that holds a GPU's memory."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        assert running(child)
        parent.kill()
        parent.wait(timeout=300)
    deadline = time.monotonic() + 300
    while running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(child)


AFTER_TENSORFLOW = """
import tensorflow as tf
import numpy as np
import matlens
model, _ = matlens.build_mobilenetv2_transfer((32, 32, 3), 3, weights=None, alpha=0.35)
wrapper = matlens.InceptionV1Wrapper(3, pretrained=False, device="cpu")
assert wrapper.in_child
photos = np.random.default_rng(0).random((4, 32, 32, 3), dtype=np.float32)
labels = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
data = tf.data.Dataset.from_tensor_slices((photos, labels)).batch(2)
for each, name in ((model, "mobile"), (wrapper, "inception_v1")):
    history = matlens.train_model(each, data, data, name, epochs=1, save_dir="models", verbose=0)
    results = matlens.evaluate_model(each, data, name, ["a", "b", "c"], "reports", history=history)
    assert results["n_test"] == 4
    assert matlens.make_gradcam_heatmap(photos[0], each).shape == (1, 1)
wrapper.load("models/inception_v1.pth")
np.testing.assert_allclose(wrapper.predict(data.unbatch().batch(4).get_single_element()[0]), wrapper.predict(photos))
print("done")
"""


@pytest.mark.slow
def test_googlenet_works_after_tensorflow_was_imported(tmp_path):
    """The guide trains all four models in one notebook; torchvision after TensorFlow ends the process (SIGSEGV)."""
    done = subprocess.run([sys.executable, "-c", AFTER_TENSORFLOW], cwd=tmp_path, text=True, capture_output=True,
                          timeout=1800, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["done"]), done.stderr[-3000:]
    assert {path.name for path in (tmp_path / "models").iterdir()} >= {"mobile.h5", "inception_v1.pth"}


@pytest.mark.parametrize("auxiliary", [False, True])
@pytest.mark.parametrize("in_child", [False, True])
def test_torchvisions_own_state_dicts_load(torch, here, far, photos, tmp_path, auxiliary, in_child):
    """What a colleague trained with plain torchvision must answer the same here."""
    from torchvision.models import googlenet

    torch.manual_seed(8)
    theirs = googlenet(num_classes=CLASSES, aux_logits=auxiliary, init_weights=False)
    inputs = torch.as_tensor(photos).permute(0, 3, 1, 2) * 2 - 1
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # one pass, and normalisation is that of the photos
    with torch.no_grad():
        theirs(inputs)
        expected = torch.softmax(theirs.eval()(inputs), 1).numpy()
    assert np.ptp(expected, axis=0).max() > 0.01
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    wrapper = far if in_child else here
    wrapper.save(tmp_path / "before.pth")
    wrapper.load(str(tmp_path / "theirs.pth"))
    found = wrapper.predict(photos)
    wrapper.load(tmp_path / "before.pth")
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("in_child", [False, True])
def test_a_file_of_other_classes_is_refused_and_changes_nothing(torch, here, far, photos, tmp_path, in_child):
    """Who catches the error goes on with the model that they had, not with half of another."""
    from torchvision.models import googlenet

    torch.save(googlenet(num_classes=CLASSES + 1, aux_logits=False, init_weights=False).state_dict(),
               tmp_path / "others.pth")
    wrapper = far if in_child else here
    wrapper.save(tmp_path / "before.pth")
    expected = wrapper.predict(photos)
    with pytest.raises(ModelError, match=r"others\.pth.*GoogLeNet.*with 4 classes"):
        wrapper.load(tmp_path / "others.pth")
    found = wrapper.predict(photos)
    wrapper.load(tmp_path / "before.pth")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_names_of_classes_are_saved_beside_the_weights_and_read_again(here, tmp_path):
    """A file of weights has no place for them, and those of another folder would be wrong."""
    names, before = ("brick", "glass", "sky", "wood"), here.class_names
    here.class_names = names
    here.save(tmp_path / "named.pth")
    here.class_names = before
    loaded = make(False)
    loaded.load(tmp_path / "named.pth")
    assert loaded.class_names == names
    (tmp_path / "named.json").write_text('{"class_names": ["brick"]}')
    with pytest.raises(ModelError, match=r"named\.json"):
        loaded.load(tmp_path / "named.pth")
    (tmp_path / "named.json").write_text('{"anything": 1}')
    loaded.load(tmp_path / "named.pth")
    assert loaded.class_names == ()


def test_photos_in_bytes_are_refused(here, photos):
    for given in ((photos * 255).astype(np.uint8), photos * 255):
        with pytest.raises(DataError, match=r"\[0, 1\]"):
            here.predict(given)
