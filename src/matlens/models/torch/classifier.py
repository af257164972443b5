"""GoogLeNet behind the protocol: the guide's training loop."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from matlens.errors import ModelError
from matlens.models.head import Dense, Head
from matlens.models.precision import Precision
from matlens.models.torch.googlenet import GoogLeNetNetwork, on_device, to_input
from matlens.models.torch.training import TorchTrainable
from matlens.system.files import write_json
from matlens.system.openvino import import_openvino

_TRUNK = ("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3", "inception4a",
          "inception4b", "inception4c", "inception4d", "inception4e", "maxpool4", "inception5a", "inception5b")
_AUXILIARY = {"inception4a": "aux1", "inception4d": "aux2"}
"""The auxiliary classifier that takes a layer's output."""


class TorchClassifier(TorchTrainable):
    """See `models.protocol.Divisible`."""

    def __init__(self, network: GoogLeNetNetwork, precision: Precision = "float32") -> None:
        self.network = network
        super().__init__(network.model, to_input, network.device, pretrained=network.pretrained, precision=precision)

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

    def predict(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(B, C) float32 probabilities."""
        return self.network.predict(images)

    def features(self, images: npt.NDArray[np.float32], until: str | None = None) -> npt.NDArray[np.float32]:
        """(B, h, w, K) float32 feature maps."""
        trunk = _Trunk(self.network.model, until).eval()
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

    def begin_finetuning(self, cut: str | None = None) -> None:
        """Freeze all up to the cut. Without one nothing changes: the guide trains GoogLeNet whole, at one rate."""
        if cut is not None:
            for name in _until(cut):
                getattr(self.network.model, name).requires_grad_(False)
            for tap, name in _AUXILIARY.items():
                if _TRUNK.index(tap) < _TRUNK.index(cut):
                    getattr(self.network.model, name).requires_grad_(False)

    def cut_for_finetuning(self) -> str:
        """GoogLeNet has no second stage in the guide. Raises ModelError."""
        raise ModelError("GoogLeNet is trained whole in the guide; name a layer with --cut.")

    def after(self, cut: str) -> TorchTrainable:
        """The rest of the network on activations."""
        return TorchTrainable(_Rest(self.network.model, cut), _to_activations, self.network.device,
                              pretrained=self.network.pretrained, precision=self.precision,
                              learning_rate=self.learning_rate, seed=self._seed, micro_batches=self.micro_batches)

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

    def export_trunk(self, folder: Path, until: str | None = None) -> Head:
        """Write trunk.xml and trunk.bin; return the head."""
        openvino = import_openvino()
        height, width = 64, 64  # only traced with: the network takes any size
        trunk = _Trunk(self.network.model, until).eval()
        example = torch.rand(2, height, width, 3, device=self.network.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing is deprecated, and is what OpenVINO reads best
            converted = openvino.convert_model(trunk, example_input=example, input=[-1, -1, -1, 3])
        openvino.save_model(converted, folder / "trunk.xml", compress_to_fp16=False)
        return self.head()


class _Trunk(nn.Module):
    """(B, H, W, 3) in [0, 1] to a layer's (B, h, w, K), by default the last Inception block's."""

    def __init__(self, model: nn.Module, until: str | None = None) -> None:
        super().__init__()
        self.model, self._layers = model, _until(until or _TRUNK[-1])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = images.permute(0, 3, 1, 2) * 2 - 1
        for name in self._layers:
            x = getattr(self.model, name)(x)
        return x.permute(0, 2, 3, 1)


class _Rest(nn.Module):
    """What follows a cut: activations (B, K, h, w) to what GoogLeNet gives, the auxiliary classifiers behind it too."""

    def __init__(self, model: nn.Module, cut: str) -> None:
        super().__init__()
        self._cut = cut
        rest = _TRUNK[len(_until(cut)):]
        taps = [name for tap, name in _AUXILIARY.items() if tap in (cut, *rest)]
        for name in (*rest, *taps, "avgpool", "dropout", "fc"):
            self.add_module(name, getattr(model, name))
        self.flatten = nn.Flatten()

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor | None, ...]:
        auxiliary: list[torch.Tensor | None] = []
        for name in (self._cut, *_TRUNK[len(_until(self._cut)):]):
            if name != self._cut:
                x = getattr(self, name)(x)
            if self.training and name in _AUXILIARY:
                auxiliary.insert(0, getattr(self, _AUXILIARY[name])(x))
        for name in ("avgpool", "flatten", "dropout", "fc"):
            x = getattr(self, name)(x)
        return (x, *auxiliary) if self.training else x


def _until(layer: str) -> tuple[str, ...]:
    """The trunk's layers up to one. Raises ModelError."""
    if layer not in _TRUNK:
        raise ModelError(f"GoogLeNet cannot be cut after '{layer}'. Layers after which it can: {', '.join(_TRUNK)}.")
    return _TRUNK[:_TRUNK.index(layer) + 1]


def _to_activations(values: Any, device: torch.device) -> torch.Tensor:
    """(B, h, w, K) to (B, K, h, w), channels last."""
    return on_device(values, device).permute(0, 3, 1, 2)
