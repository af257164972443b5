"""Seed PyTorch, and build and load its models."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torchvision

from matlens.errors import ModelError
from matlens.models.precision import ChosenPrecision, choose_precision, precisions_to_measure
from matlens.models.preflight import Preflight
from matlens.models.protocol import BuildOrder
from matlens.models.registry import spec_in
from matlens.models.spec import ModelSpec
from matlens.models.torch.classifier import TorchClassifier
from matlens.models.torch.devices import chosen_device, preflight
from matlens.models.torch.network import DividedModule
from matlens.models.torch.statistics import with_statistics


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
        spec, device = spec_in("torch", order.model), chosen_device(order.device)
        capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else None
        precision = ChosenPrecision(
            choose_precision(order.precision, capability),
            precisions_to_measure(order.precision, capability,
                                  deterministic=torch.are_deterministic_algorithms_enabled()))
        network = _transfer(spec, order) if spec.network is None else spec.network(order)
        if not isinstance(network, DividedModule):
            raise ModelError(f"The network of {spec.name} is a {type(network).__name__}, and must be a "
                             "matlens.models.torch.network.DividedModule.")
        if order.features == "multi":
            network.as_head(spec.title)  # raises ModelError where it does not pool by the mean over places
            network = with_statistics(network, order.num_classes, order.img_size)
        elif order.linear_head:
            network.make_linear(order.num_classes, spec.title)
        return TorchClassifier(spec, network, order, device, precision)

    def load(self, path: Path, order: BuildOrder) -> TorchClassifier:
        """Build a network by matlens' own code, and take only the weights from the file. Raises ModelError."""
        classifier = self.build(order)
        classifier.load_weights(path)
        return classifier

    def preflight(self, device: str | None) -> Preflight:
        """Try a device before it is trained on. Raises DeviceError where the one that is named does not work."""
        return preflight(device)

    def versions(self) -> dict[str, str]:
        """Return the versions of PyTorch and torchvision, and of timm where a network is of it."""
        timm = sys.modules.get("timm")
        return {"torch": torch.__version__, "torchvision": torchvision.__version__,
                **({} if timm is None else {"timm": timm.__version__})}


def _transfer(spec: ModelSpec, order: BuildOrder) -> DividedModule:
    """Build a network of timm under a head; timm is imported here, where a model asks for it."""
    from matlens.models.torch.timm.network import transfer

    return transfer(spec, order)
