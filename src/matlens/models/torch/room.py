"""Seed PyTorch, and build and load its models."""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision

from matlens.errors import DeviceError, ModelError
from matlens.models.precision import choose_precision
from matlens.models.protocol import BuildOrder
from matlens.models.registry import spec_in
from matlens.models.torch.classifier import TorchClassifier
from matlens.models.torch.network import DividedModule


class TorchRoom:
    """See `models.protocol.Room`."""

    def seed(self, seed: int, deterministic: bool) -> None:
        """Seed PyTorch on every device."""
        torch.manual_seed(seed)
        if deterministic:
            torch.use_deterministic_algorithms(True)
            torch.backends.cudnn.benchmark = False

    def build(self, order: BuildOrder) -> TorchClassifier:
        """Build a network by its spec. Raises ModelError, WeightsError or DeviceError."""
        spec, device = spec_in("torch", order.model), _device(order.device)
        capability = None
        if device.type == "cuda":
            capability = torch.cuda.get_device_capability(device)
            torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
        precision = choose_precision(order.precision, capability)
        assert spec.network is not None
        network = spec.network(order)
        if not isinstance(network, DividedModule):
            raise ModelError(f"The network of {spec.name} is a {type(network).__name__}, and must be a "
                             "matlens.models.torch.network.DividedModule.")
        return TorchClassifier(spec, network, order, device, precision)

    def load(self, path: Path, order: BuildOrder) -> TorchClassifier:
        """Build a network by matlens' own code, and take only the weights from the file. Raises ModelError."""
        classifier = self.build(order)
        classifier.load_weights(path)
        return classifier

    def has_gpu(self) -> bool:
        """Return whether PyTorch sees a GPU."""
        return torch.cuda.is_available()

    def versions(self) -> dict[str, str]:
        """Return the versions of PyTorch and torchvision."""
        return {"torch": torch.__version__, "torchvision": torchvision.__version__}


def _device(name: str | None) -> torch.device:
    """Return the device of this name; by default a GPU if there is one. Raises DeviceError where there is no such."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"PyTorch has no device '{name}' here ({str(error).splitlines()[0]}). Use \"cpu\", or leave "
                          "the device to matlens.") from error
    return device
