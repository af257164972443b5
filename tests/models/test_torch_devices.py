"""Devices that fail, averages of weights on them, and the arithmetic that they compute in."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from small_networks import CLASSES

from matlens.errors import DeviceError
from matlens.models.precision import fastest, precisions_to_measure
from matlens.models.protocol import BuildOrder, room_of

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

P100, T4, A100 = (6, 0), (7, 5), (8, 0)


@pytest.fixture
def devices(torch, monkeypatch):
    """The module, as on a machine with one card that answers and is never computed on."""
    from matlens.models.torch import devices

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Tesla P100-PCIE-16GB")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: P100)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])
    devices.preflight.cache_clear()
    yield devices
    devices.preflight.cache_clear()


def test_a_card_that_fails_is_explained_and_auto_takes_the_cpu(devices, monkeypatch):
    """As a P100 does with today's wheels: PyTorch says that CUDA is available, and the first operation fails."""
    def fail(device):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    monkeypatch.setattr(devices, "compute_on", fail)
    room, facts = room_of("inception_v1"), ("P100", "6.0", "sm_75, sm_80", "whl/cu126", "--device cpu")
    for wish in (None, "auto"):
        tried = room.preflight(wish)
        assert tried.device == "cpu"
        assert all(fact in tried.warning for fact in facts)
    assert not devices.gpu_works()
    assert str(room.build(BuildOrder("inception_v1", CLASSES)).device) == "cpu"
    for compute in (room.preflight, lambda name: room.build(BuildOrder("inception_v1", CLASSES, device=name))):
        with pytest.raises(DeviceError) as raised:
            compute("cuda")
        assert all(fact in str(raised.value) for fact in facts)


def test_a_card_that_works_is_taken_and_tried_once(devices, monkeypatch):
    """With its number, which a record of the training names; a card's start takes seconds."""
    tried = []
    monkeypatch.setattr(devices, "compute_on", tried.append)
    assert devices.preflight(None).device == "cuda:0"
    assert devices.preflight("cuda").device == "cuda:0"
    assert devices.gpu_works()
    assert devices.preflight(None).warning == ""
    assert tried == ["cuda:0", "cuda:0"]


@pytest.mark.parametrize("name", ["cuda:3", "mps", "gpu", "tpu:0"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(devices, name):
    """A number is easily one too high; a typing error must not train elsewhere."""
    with pytest.raises(DeviceError, match=rf"{name}.*cuda:0"):
        devices.preflight(name)


def test_a_device_that_computes_something_else_does_not_pass(devices, monkeypatch):
    """Broken memory answers, with wrong numbers."""
    right, calls = devices.functional.conv2d, []

    def wrong_once(*given, **options):
        calls.append(given)
        return right(*given, **options) * (1.5 if len(calls) == 1 else 1)

    devices.compute_on("cpu")
    monkeypatch.setattr(devices.functional, "conv2d", wrong_once)
    with pytest.raises(RuntimeError, match="differs from the CPU's"):
        devices.compute_on("cpu")


@pytest.mark.parametrize("text", ["CUDA error: out of memory\nCUDA kernel errors might", "CUDA error: "
                                  "CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"])
def test_a_full_card_is_told_by_words_too(torch, text):
    """Batches are halved then; PyTorch has no class for these errors."""
    from matlens.models.torch.devices import is_out_of_memory

    assert is_out_of_memory(RuntimeError(text))
    assert not is_out_of_memory(RuntimeError("CUDA error: unspecified launch failure"))


def test_an_operation_without_a_deterministic_form_is_named(torch):
    """Whoever asks for equal numbers must not get others, nor PyTorch's advice to file an issue there."""
    from matlens.models.torch.preprocessing import to_activations
    from matlens.models.torch.training import TorchTrainable

    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))

    def refuse(module, given):
        raise RuntimeError("adaptive_pool_backward_cuda does not have a deterministic implementation, but you set ...")

    module.register_forward_pre_hook(refuse)
    network = TorchTrainable(module, to_activations, torch.device("cpu"), pretrained=False, learning_rate=1e-3,
                             auxiliary_weight=0.3)
    with pytest.raises(DeviceError, match=r"adaptive_pool_backward_cuda.*--device cpu"):
        network.train_epoch([(np.zeros((2, 2, 2, 3), np.float32), np.eye(2, dtype=np.float32))], lambda *_: None)


def test_an_average_on_the_device_is_the_hosts(torch):
    """The recipe `strong` judges and keeps these weights."""
    from matlens.models.averaging import HostAverage
    from matlens.models.torch.gpu.averages import DeviceAverage
    from matlens.models.torch.preprocessing import to_activations
    from matlens.models.torch.training import TorchTrainable

    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    network = TorchTrainable(module, to_activations, torch.device("cpu"), pretrained=False, learning_rate=1e-3,
                             auxiliary_weight=0.3)
    assert isinstance(network.average(), HostAverage)
    averages = HostAverage(network), DeviceAverage(module.state_dict().values())
    for step in range(5):
        with torch.no_grad():
            module[0].weight.add_(torch.rand_like(module[0].weight))
            module[1].num_batches_tracked.add_(7)
        for average in averages:
            average.update(0.1 * (step + 3))
    for ours, theirs in zip(*(average.weights() for average in averages), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(theirs, ours, rtol=1e-5)
    now = network.snapshot()
    averages[1].set([values + 1 for values in averages[0].weights()])
    with averages[1].swapped():
        for ours, theirs in zip(network.snapshot(), averages[0].weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs + 1)
    for ours, theirs in zip(network.snapshot(), now, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("wish", "capability", "deterministic", "measured"), [
    ("auto", A100, False, ("float32", "bfloat16")), ("auto", T4, False, ("float32", "float16")),
    ("auto", P100, False, ()), ("auto", None, False, ()), ("auto", A100, True, ()), ("bfloat16", A100, False, ())])
def test_a_gpu_is_measured_in_what_it_has(wish, capability, deterministic, measured):
    """Nothing is measured where there is nothing to choose, or where two trainings must be the same."""
    assert precisions_to_measure(wish, capability, deterministic=deterministic) == measured


@pytest.mark.parametrize(("seconds", "chosen"), [
    ({"float32": 1.0, "bfloat16": 0.94, "float16": 0.96}, "bfloat16"), ({"float32": 1.0, "bfloat16": 0.96}, "float32"),
    ({"bfloat16": 2.0, "float16": 1.0}, "float16"), ({"float32": 1.0}, "float32")])
def test_a_shorter_type_must_be_worth_it(seconds, chosen):
    """Five percent are not worth its rounding."""
    assert fastest(seconds) == chosen


@pytest.mark.parametrize(("errors", "chosen"), [
    ({"float16": 5e-4, "tf32": 1e-5}, "float16"), ({"float16": 2e-3, "tf32": 5e-4}, "tf32"),
    ({"float16": np.inf, "tf32": np.nan}, "float32"), ({}, "float32")])
def test_features_are_shortened_only_where_they_stay_true(torch, errors, chosen):
    """A network whose features overflow in float16 exists."""
    from matlens.models.torch.gpu.arithmetic import fastest_faithful

    exact = torch.tensor([[1.0, -8.0], [0.5, 2.0]])
    assert fastest_faithful(lambda kind: exact + 8.0 * errors.get(kind, 0.0), tuple(errors)) == chosen


def test_exact_float32_is_without_tf32_and_leaves_no_trace(torch):
    """The switches can be read without a card, in both of PyTorch's ways, inside and after."""
    from matlens.models.torch.gpu.arithmetic import arithmetic

    def switches():
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        return (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, matmul.fp32_precision, cudnn.allow_tf32,
                matmul.allow_tf32)

    before, card = switches(), torch.device("cuda", 0)
    with arithmetic(card, tf32=True):
        training = switches()
        with pytest.raises(ValueError), arithmetic(card, tf32=False):
            assert "tf32" not in switches()
            assert switches()[3:] == (False, False)
            raise ValueError
        assert switches() == training
    assert training[3:] == (True, True)
    assert switches() == before
    with arithmetic(torch.device("cpu"), tf32=True):
        assert switches() == before


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch comes with GNU's OpenMP on Linux alone")
@pytest.mark.parametrize(("chosen", "expected"), [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"),
                                                  ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")])
def test_threads_without_work_soon_sleep_unless_the_environment_says_otherwise(chosen, expected):
    """OpenMP itself says what it read when it was loaded."""
    environment = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", "import matlens.models.torch"], capture_output=True, text=True,
                          env={**environment, **chosen, "OMP_DISPLAY_ENV": "VERBOSE"}, check=True)
    assert re.search(rf"GOMP_SPINCOUNT = '{expected}'", done.stderr), done.stderr
