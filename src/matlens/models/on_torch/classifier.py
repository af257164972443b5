"""GoogLeNet behind the protocol: the guide's training loop."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from matlens.errors import DataError, ModelError
from matlens.files import write_json
from matlens.models.head import Dense, Head
from matlens.models.on_torch.googlenet import GoogLeNetNetwork, on_device, to_input
from matlens.models.openvino import import_openvino
from matlens.models.precision import Precision
from matlens.models.protocol import Batch, OnStep, Scores

LEARNING_RATE = 1e-3
AUXILIARY_WEIGHT = 0.3
"""Of each auxiliary classifier's loss (Szegedy et al. 2014, section 5)."""

_TRUNK = ("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3", "inception4a",
          "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4", "inception5a", "inception5b")


class TorchClassifier:
    """See `models.protocol.Classifier`."""

    def __init__(self, network: GoogLeNetNetwork, precision: Precision = "float32") -> None:
        self.network = network
        self.precision = precision
        self.optimizer = torch.optim.Adam(network.model.parameters(), lr=LEARNING_RATE, fused=True)
        # float16's smallest number is 6e-8, and many gradients are smaller.
        self._scaler = torch.GradScaler(network.device.type, enabled=precision == "float16")

    @property
    def learning_rate(self) -> float:
        """The optimiser's present learning rate."""
        return float(self.optimizer.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.optimizer.param_groups[0]["lr"] = value

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self.network.device

    @property
    def input_size(self) -> tuple[int, int] | None:
        """None: GoogLeNet takes photos of any size."""
        return None

    @property
    def last_conv_layer_name(self) -> str:
        """The layer whose output is the feature map."""
        return _TRUNK[-1]

    @property
    def num_classes(self) -> int:
        """C, the number of outputs."""
        return self.network.num_classes

    @property
    def parameters(self) -> tuple[int, int]:
        """(all, trainable) numbers, without the auxiliary classifiers; running statistics count as in Keras."""
        statistics = sum(values.numel() for name, values in self.network.state_dict().items()
                         if name.endswith(("running_mean", "running_var")))
        trainable = self.network.get_trainable_params_count()
        return trainable + statistics, trainable

    @property
    def trains_statistics(self) -> bool:
        """Whether batch normalisation is trained: from random weights only."""
        return not self.network.pretrained

    def train_epoch(self, batches: Iterable[Batch], on_step: OnStep) -> Scores:
        """One pass; the epoch's loss is the mean over photos, batches counted as they come."""
        self.network.model.train()
        if self.network.pretrained:
            for module in _normalisations(self.network.model):
                module.eval()
        sums = _Sums()
        for step, (images, labels) in enumerate(batches, 1):
            target = on_device(labels, self.network.device)
            photos = to_input(images, self.network.device)
            try:
                with self._autocast():
                    logits, aux2, aux1 = (each.float() for each in self.network.model(photos))
            except ValueError as error:
                if len(images) > 1:
                    raise
                raise DataError("Batch normalisation cannot be trained on a batch of one photo of this size; use "
                                "another batch size.") from error
            loss = functional.cross_entropy(logits, target) + AUXILIARY_WEIGHT * (
                functional.cross_entropy(aux1, target) + functional.cross_entropy(aux2, target))
            self.optimizer.zero_grad(set_to_none=True)
            self._scaler.scale(loss).backward()
            self._scaler.step(self.optimizer)
            self._scaler.update()
            sums.add(loss.detach(), logits.detach(), target)
            on_step(step, sums.scores)
        return sums.scores()

    def validate(self, batches: Iterable[Batch]) -> Scores:
        """Cross-entropy and accuracy of the main classifier."""
        self.network.model.eval()
        sums = _Sums()
        with torch.inference_mode():
            for images, labels in batches:
                target = on_device(labels, self.network.device)
                logits = self.network.model(to_input(images, self.network.device))
                sums.add(functional.cross_entropy(logits, target), logits, target)
        return sums.scores()

    def recompute_statistics(self, batches: Iterable[Batch]) -> None:
        """Average each normalisation's batch mean and variance over the batches (momentum None is PyTorch's way)."""
        modules = _normalisations(self.network.model)
        momenta = [module.momentum for module in modules]
        self.network.model.eval()
        for module in modules:
            module.reset_running_stats()
            module.momentum = None
            module.train()
        try:
            with torch.no_grad():
                for images, _ in batches:
                    self.network.model(to_input(images, self.network.device))
        finally:
            for module, momentum in zip(modules, momenta, strict=True):
                module.momentum = momentum
            self.network.model.eval()

    def predict(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(B, C) float32 probabilities."""
        return self.network.predict(images)

    def features(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(B, h, w, K) float32 feature maps."""
        trunk = _Trunk(self.network.model).eval()
        with torch.inference_mode():
            photos = torch.as_tensor(np.asarray(images, dtype=np.float32), device=self.network.device)
            return trunk(photos).cpu().numpy()

    def features_and_gradients(self, images: npt.NDArray[np.float32], classes: npt.NDArray[np.int64], layer: str,
                               ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Any layer's output and the class logit's gradient there, by autograd. Raises ModelError."""
        model = self.network.model.eval()
        module = dict(model.named_modules()).get(layer)
        if module is None:
            raise ModelError(f"GoogLeNet has no layer '{layer}'; it has {', '.join(_TRUNK)} and their parts.")
        seen: list[torch.Tensor] = []
        hook = module.register_forward_hook(lambda _, __, output: seen.append(output))
        try:
            logits = model(to_input(images, self.network.device).requires_grad_())
        finally:
            hook.remove()
        if not seen or seen[0].ndim != 4:
            raise ModelError(f"The layer '{layer}' of GoogLeNet gives no feature map to explain.")
        chosen = torch.as_tensor(np.asarray(classes), device=logits.device)
        score = logits.gather(1, chosen[:, None]).sum()
        maps, slopes = seen[0], torch.autograd.grad(score, seen[0])[0]
        features, gradients = (values.detach().permute(0, 2, 3, 1).cpu().numpy() for values in (maps, slopes))
        return features, gradients

    def head(self) -> Head:
        """The head as it is now."""
        fc = self.network.model.fc
        kernel, bias = (values.detach().cpu().numpy().copy() for values in (fc.weight.T.contiguous(), fc.bias))
        return Head("avg", (Dense(kernel, bias, "softmax"),))

    def begin_finetuning(self) -> None:
        """Nothing to unfreeze: GoogLeNet is trained whole."""

    def snapshot(self) -> Any:
        """All weights, copied."""
        return copy.deepcopy(self.network.model.state_dict())

    def restore(self, snapshot: Any) -> None:
        """Bring weights back."""
        self.network.model.load_state_dict(snapshot)

    def save(self, path: Path, about: dict[str, Any]) -> None:
        """Write the plain state dict (.pth), and `about` beside it as .json."""
        self.save_weights(path)
        write_json(path.with_suffix(".json"), about)

    def save_weights(self, path: Path) -> None:
        """Write the plain state dict alone."""
        self.network.save(path)

    def load_weights(self, path: Path) -> None:
        """Read a state dict. Raises ModelError."""
        self.network.load(path)

    def export_trunk(self, folder: Path) -> Head:
        """Write trunk.xml and trunk.bin; return the head."""
        openvino = import_openvino()
        height, width = 64, 64  # only traced with: the network takes any size
        trunk = _Trunk(self.network.model).eval()
        example = torch.rand(2, height, width, 3, device=self.network.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing is deprecated, and is what OpenVINO reads best
            converted = openvino.convert_model(trunk, example_input=example, input=[-1, -1, -1, 3])
        openvino.save_model(converted, folder / "trunk.xml", compress_to_fp16=False)
        return self.head()

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.network.device.type, getattr(torch, self.precision),
                              enabled=self.precision != "float32")


class _Trunk(nn.Module):
    """(B, H, W, 3) in [0, 1] to the last Inception block's (B, h, w, 1024)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images.permute(0, 3, 1, 2) * 2 - 1
        for name in _TRUNK:
            x = getattr(self.model, name)(x)
        return x.permute(0, 2, 3, 1)


class _Sums:
    """Loss and hits summed on the device; read only when asked for."""

    def __init__(self) -> None:
        self._loss: torch.Tensor | float = 0.0
        self._hits: torch.Tensor | float = 0.0
        self._photos = 0

    def add(self, loss: torch.Tensor, logits: torch.Tensor, target: torch.Tensor) -> None:
        self._photos += len(target)
        self._loss = self._loss + loss * len(target)
        self._hits = self._hits + (logits.argmax(1) == target.argmax(1)).sum()

    def scores(self) -> Scores:
        photos = max(self._photos, 1)
        return Scores(float(self._loss) / photos, float(self._hits) / photos)


def _normalisations(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
