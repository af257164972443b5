"""What is wrong with a device is named with a way out, and `auto` goes on without it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from matlens.errors import DeviceError
from matlens.models import preflight as module
from matlens.models.preflight import Gpu, Preflight, preflight, trouble_of
from matlens.system import resources

NO_KERNELS = "CUDA error: no kernel image is available for execution on the device"
MESSAGES = {
    NO_KERNELS: "no kernels",
    "INTERNAL: CUDA_ERROR_NO_BINARY_FOR_GPU: no kernel image": "no kernels",
    "The NVIDIA driver on your system is too old (found version 11040).": "old driver",
    "CUDA driver version is insufficient for CUDA runtime version": "old driver",
    "the provided PTX was compiled with an unsupported toolchain.": "old driver",
    "CUDA out of memory. Tried to allocate 20.00 MiB": "no memory",
    "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 2147483648 bytes": "no memory",
    "OOM when allocating tensor with shape[9] and type float on /device:GPU:0 by allocator GPU_0_bfc": "no memory",
    "CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`": "no memory",
    "CUDA error: all CUDA-capable devices are busy or unavailable": "in use",
    "CUDA error: CUDA-capable device(s) is/are busy or unavailable": "in use",
    "CUDA error: invalid device ordinal": "absent",
    "Torch not compiled with CUDA enabled": "absent",
    "no CUDA-capable device is detected": "absent",
    "CUDA error: unspecified launch failure": "lost",
    "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered": "lost",
    "CUDA error: uncorrectable ECC error encountered": "lost"}
"""As CUDA, PyTorch, TensorFlow and JAX write them."""


def seen(monkeypatch: pytest.MonkeyPatch, n: int, visible: str | None = None) -> None:
    """Let nvidia-smi list n cards."""
    monkeypatch.setattr(module, "listed_nvidia_gpus", lambda: [f"GPU {i}: Tesla T4 (UUID: GPU-{i}a)" for i in range(n)])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)


class Machine:
    """A machine whose devices fail as they are told to."""

    def __init__(self, **failures: str) -> None:
        self.failures, self.computed = {name.replace("_", ":"): text for name, text in failures.items()}, []

    def compute(self, device: str) -> None:
        self.computed.append(device)
        if device in self.failures:
            raise RuntimeError(self.failures[device])

    def asked(self, device: str | None, gpus: Sequence[str] = ("cuda:0",), card: Gpu | None = None) -> Preflight:
        return preflight(device, gpus, self.compute, "PyTorch", lambda name: card or Gpu())


@pytest.mark.parametrize("message", MESSAGES)
def test_what_frameworks_say_is_understood(message: str) -> None:
    """A wrong kind sends the user to a driver that is not at fault."""
    assert trouble_of(RuntimeError(message)) == MESSAGES[message]
    try:
        raise ValueError("step 3") from RuntimeError(message)
    except ValueError as error:
        assert trouble_of(error) == MESSAGES[message]


@pytest.mark.parametrize("message", ["", "shapes (3, 4) and (5, 6) not aligned", "DefaultCPUAllocator: can't allocate "
                                     "memory", "Unable to allocate 3.2 GiB for an array", "bad_alloc",
                                     "OOM when allocating tensor with shape[9] and type float on /device:CPU:0"])
def test_other_errors_are_not_blamed_on_the_card(message: str) -> None:
    """A bug, or the host's memory, is another trouble."""
    assert trouble_of(RuntimeError(message)) is None


def test_the_first_gpu_that_computes_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word, where all is as it should be."""
    seen(monkeypatch, 2)
    machine = Machine()
    assert machine.asked(None, ("cuda:0", "cuda:1")) == Preflight("cuda:0")
    assert machine.asked("cuda") == Preflight("cuda:0")
    assert machine.asked("cuda:1", ("cuda:0", "cuda:1")) == Preflight("cuda:1")
    assert machine.computed == ["cuda:0", "cuda:0", "cuda:1"]


def test_a_cpu_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training on a CPU stays as it is, and begins as soon."""
    seen(monkeypatch, 0)
    machine = Machine()
    assert machine.asked("cpu") == Preflight("cpu") == machine.asked(None, ())
    assert machine.computed == []


def test_auto_falls_back_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """A P100 on Kaggle: today's wheels have no kernels for it, and those of CUDA 12.6 have."""
    seen(monkeypatch, 1)
    card = Gpu("Tesla P100", (6, 0), ("sm_75", "sm_90"))
    found = Machine(cuda_0=NO_KERNELS).asked(None, card=card)
    assert found.device == "cpu"
    for fact in ("cuda:0", "Tesla P100", "6.0", "sm_75", "PyTorch", "whl/cu126", "The CPU is used"):
        assert fact in found.warning
    newer = Machine(cuda_0=NO_KERNELS).asked(None, card=Gpu("RTX", (12, 0)))
    assert "pip install" in newer.warning
    assert "cu126" not in newer.warning


def test_auto_takes_the_second_card_where_the_first_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook that holds one card of two costs no GPU."""
    seen(monkeypatch, 2)
    found = Machine(cuda_0="CUDA out of memory").asked(None, ("cuda:0", "cuda:1"))
    assert found.device == "cuda:1"
    assert "memory" in found.warning


@pytest.mark.parametrize("message", MESSAGES)
def test_a_named_device_that_fails_is_refused(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who names a card does not want to find out after a night that the CPU was used."""
    seen(monkeypatch, 1)
    with pytest.raises(DeviceError, match=r"--device cuda: .*--device cpu"):
        Machine(cuda_0=message).asked("cuda")


@pytest.mark.parametrize(("cards", "visible", "gpus", "asked", "facts"), [
    (0, None, (), "cuda", ["no GPU", "--device auto"]),
    (1, "", (), "cuda", ["CUDA_VISIBLE_DEVICES=''", "unset CUDA_VISIBLE_DEVICES"]),
    (1, "-1", (), "cuda", ["CUDA_VISIBLE_DEVICES='-1'"]),
    (1, "7", (), "cuda", ["CUDA_VISIBLE_DEVICES=7", "unset CUDA_VISIBLE_DEVICES"]),
    (2, "GPU-9z", (), "cuda", ["CUDA_VISIBLE_DEVICES=GPU-9z", "0 to 1"]),
    (1, None, (), "cuda", ["nvidia-smi lists 1 GPU", "without CUDA", "pip install"]),
    (1, None, ("cuda:0",), "cuda:3", ["cuda:0", "no cuda:3"]),
    (0, None, (), "mps", ["Apple GPU"])])
def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, cards: int, visible: str | None,
                                               gpus: tuple[str, ...], asked: str, facts: list[str]) -> None:
    """The message says which of the many reasons it is."""
    seen(monkeypatch, cards, visible)
    with pytest.raises(DeviceError) as refused:
        Machine().asked(asked, gpus)
    for fact in facts:
        assert fact in str(refused.value)


def test_auto_warns_of_a_gpu_that_the_framework_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build for CPUs on a machine with a GPU trains ten times slower; but a GPU that is hidden on purpose is not
    asked for."""
    seen(monkeypatch, 1)
    assert "sees none" in Machine().asked(None, ()).warning
    seen(monkeypatch, 1, "5")
    assert "CUDA_VISIBLE_DEVICES=5" in Machine().asked(None, ()).warning
    for hidden in ("", "-1"):
        seen(monkeypatch, 1, hidden)
        assert Machine().asked(None, ()) == Preflight("cpu")


def test_a_card_that_tells_nothing_of_itself_is_still_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some errors even the name of a card cannot be asked for."""
    seen(monkeypatch, 1)

    def silent(device: str) -> Gpu:
        raise RuntimeError("CUDA error: unspecified launch failure")

    found = preflight(None, ["cuda:0"], Machine(cuda_0="unspecified launch failure").compute, "JAX", silent)
    assert found.device == "cpu"
    assert "cuda:0 stopped working" in found.warning


def test_gpus_are_listed_by_nvidia_smi(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """No framework need be imported to know that there is a GPU."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: Tesla T4 (UUID: GPU-1)'\necho '  MIG 1g'\necho 'GPU 1: Tesla T4'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert len(resources.listed_nvidia_gpus()) == 2
    assert resources.has_nvidia_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not resources.has_nvidia_gpu()
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert resources.listed_nvidia_gpus() == []
