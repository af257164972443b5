"""The PyTorch room's door."""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision

from matlens.errors import ModelError
from matlens.models.precision import choose_precision
from matlens.models.protocol import BuildOrder
from matlens.models.registry import spec_of
from matlens.models.torch.classifier import TorchClassifier
from matlens.models.torch.googlenet import GoogLeNetNetwork


class TorchRoom:
    """See `models.protocol.Room`."""

    def seed(self, seed: int, deterministic: bool) -> None:
        """Seed PyTorch on every device."""
        torch.manual_seed(seed)
        if deterministic:
            torch.use_deterministic_algorithms(True)
            torch.backends.cudnn.benchmark = False

    def build(self, order: BuildOrder, device: str | None = None) -> TorchClassifier:
        """Build GoogLeNet; `device` is a GPU, if there is one, unless told."""
        if spec_of(order.model).framework != "torch":
            raise ModelError(f"{spec_of(order.model).name} is not a PyTorch model.")
        network = GoogLeNetNetwork(order.num_classes, order.weights_file, device)
        capability = None
        if network.device.type == "cuda":
            capability = torch.cuda.get_device_capability(network.device)
            torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
        return TorchClassifier(network, choose_precision(order.precision, capability))

    def load(self, path: Path, order: BuildOrder) -> TorchClassifier:
        """Build by our own code, and take only the weights from the file."""
        classifier = self.build(order)
        classifier.load_weights(path)
        return classifier

    def has_gpu(self) -> bool:
        """Whether PyTorch sees a GPU."""
        return torch.cuda.is_available()

    def versions(self) -> dict[str, str]:
        """PyTorch and torchvision."""
        return {"torch": torch.__version__, "torchvision": torchvision.__version__}
