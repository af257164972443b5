"""A PyTorch network that is divided into trunk and head, behind the protocol."""

from __future__ import annotations

import os
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from matlens.errors import ModelError
from matlens.models.capabilities.attention import Attention
from matlens.models.head import Head
from matlens.models.precision import ChosenPrecision
from matlens.models.preprocess import Preprocess
from matlens.models.protocol import FINETUNING_LEARNING_RATE, BuildOrder
from matlens.models.spec import ModelSpec
from matlens.models.torch.attention import read_attention
from matlens.models.torch.files import load_state, save_state
from matlens.models.torch.gpu.arithmetic import arithmetic
from matlens.models.torch.gpu.features import Extractor, Sent, Uploads
from matlens.models.torch.gpu.steps import recorder_for
from matlens.models.torch.network import DividedModule, Front, Rest
from matlens.models.torch.preprocessing import preprocessed, to_activations, to_input
from matlens.models.torch.training import TorchTrainable
from matlens.system.files import write_json
from matlens.system.openvino import import_openvino
from matlens.system.registry import did_you_mean
from matlens.types import Array, Labels, Pixels

_AT_ONCE = 32
"""Photos in one forward pass of `predict`."""

_TRACED_SIDE = 64
"""Pixels of the photos with which a network that takes any size is traced."""


class TorchClassifier(TorchTrainable):
    """See `models.protocol.Divisible`.

    Attributes:
        network: the module and its division; its parts are moved to the device here.
    """

    def __init__(self, spec: ModelSpec, network: DividedModule, order: BuildOrder, device: torch.device,
                 precision: ChosenPrecision | None = None) -> None:
        """Raises ModelError where the network does not divide as it says."""
        self.network, self._spec, self._order, self._device = network, spec, order, device
        network.refuse_misfit(spec.title, self._traced_size)
        network.module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.module.eval()
        self._uploads, self._extractors = Uploads(device), dict[str, Extractor]()
        super().__init__(network.module, partial(to_input, spec.preprocess), device, pretrained=network.pretrained,
                         auxiliary_weight=network.auxiliary_weight, precision=precision,
                         learning_rate=spec.learning_rate if spec.head is None else spec.head.learning_rate)

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        return self._device

    @property
    def takes_bytes(self) -> bool:
        """Whether it asks for BytePhotos: on a GPU, or where MATLENS_BYTES_TO_DEVICE=1 asks for it."""
        return self._device.type != "cpu" or os.environ.get("MATLENS_BYTES_TO_DEVICE") == "1"

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(height, width) of the photos that it takes; None where it takes any: neither spec nor network names one."""
        return self._order.img_size if self._spec.sizes else self.network.size

    @property
    def last_conv_layer_name(self) -> str:
        """The layer whose output is the feature map, or that by which it is explained where that tells of no place."""
        return self.network.explained or self.network.trunk[-1]

    @property
    def num_classes(self) -> int:
        """C, the number of outputs."""
        return self._order.num_classes

    @property
    def parameters(self) -> tuple[int, int]:
        """(all, trainable) numbers, without auxiliary classifiers; running statistics count as in Keras."""
        return self.network.counts()

    def predict(self, images: Array) -> Array:
        """Return probabilities (B, C) float32; 32 photos at once."""
        module = self.network.module.eval()
        with torch.inference_mode(), arithmetic(self._device, tf32=False):
            parts = [torch.softmax(module(self._to_input(images[start:start + _AT_ONCE], self._device)), dim=1)
                     for start in range(0, len(images), _AT_ONCE)]
        if not parts:
            return np.zeros((0, self.num_classes), dtype=np.float32)
        return torch.cat(parts).cpu().numpy()

    def features(self, images: Array, until: str | None = None) -> Array:
        """Return feature maps (B, h, w, K) float32. Raises ModelError for a layer that is no cut."""
        trunk = self._trunk(until)
        with torch.inference_mode(), arithmetic(self._device, tf32=False):
            photos = torch.as_tensor(np.asarray(images, dtype=np.float32), device=self._device)
            return trunk(photos).cpu().numpy()

    def sent(self, pixels: Pixels) -> Pixels | Sent:
        """Begin to copy photos to the device, from any thread."""
        return self._uploads.sent(pixels)

    def features_of(self, pixels: Pixels | Sent, until: str | None = None, pooled: bool = False) -> Array:
        """Return features of bytes, averaged on a GPU. Raises ModelError for a layer that is no cut."""
        layer = until or self.network.trunk[-1]
        if layer not in self._extractors:
            self._extractors[layer] = self._extractor(layer)
        return self._extractors[layer](pixels, pooled)

    def _extractor(self, until: str | None) -> Extractor:
        trunk = self._trunk(until)
        return Extractor(lambda photos: trunk.eval().maps(photos.floats()).permute(0, 2, 3, 1), self._device,
                         recorder_for(self._device))

    def features_and_gradients(self, images: Array, classes: Labels, layer: str) -> tuple[Array, Array]:
        """Return any layer's output and the class logit's gradient there, by autograd. Raises ModelError."""
        title, model = self._spec.title, self.network.module.eval()
        module = self.network.layer(layer)
        if module is None:
            known = [name for name, _ in model.named_modules() if name]
            raise ModelError(f"{title} has no layer '{layer}'.{did_you_mean(layer, known)} It has "
                             f"{', '.join(self.network.trunk)} and their parts.")
        seen: list[torch.Tensor] = []
        hook = module.register_forward_hook(lambda _, __, output: seen.append(output))
        with arithmetic(self._device, tf32=False):
            try:
                logits = model(self._to_input(images, self._device).requires_grad_())
            finally:
                hook.remove()
            maps, slopes = self._at(seen, logits, classes, layer)
        features, gradients = (self.network.map_of(values.detach()).permute(0, 2, 3, 1).cpu().numpy()
                               for values in (maps, slopes))
        return features, gradients

    def attention(self, images: Array) -> Attention:
        """Return what tokens attend to; see `models.capabilities.attention.ReadsAttention`."""
        with arithmetic(self._device, tf32=False):
            return read_attention(self.network, self._to_input(images, self._device), self._spec.title)

    def _at(self, seen: list[torch.Tensor], logits: torch.Tensor, classes: Labels, layer: str,
            ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the maps that a layer gave, and the gradient there. Raises ModelError where it gave none."""
        if not seen or self.network.map_of(seen[0]).ndim != 4:
            raise ModelError(f"The layer '{layer}' of {self._spec.title} gives no feature map to explain.")
        chosen = torch.as_tensor(np.asarray(classes), device=logits.device)
        score = logits.gather(1, chosen[:, None]).sum()
        return seen[0], torch.autograd.grad(score, seen[0])[0]

    def head(self) -> Head:
        """Return a copy of the head."""
        return self.network.as_head(self._spec.title)

    def set_head(self, head: Head) -> None:
        """Set the weights of the head. Raises ModelError for a head of other layers."""
        self.network.set_head(head, self._spec.title)

    def shift_logits(self, by: Array) -> None:
        """See `Divisible`."""
        self.network.shift_logits(torch.as_tensor(by), self._spec.title)

    def begin_finetuning(self, cut: str | None = None) -> None:
        """Freeze all up to the cut; a transfer model trains the rest at the guide's lower rate.

        Without a cut a network that is trained whole stays as it is: it is trained at one rate.
        """
        network = self.network
        cut = cut or network.cut
        if cut is None and not network.is_frozen:
            return
        frozen = () if cut is None else self._until(cut)
        taps = [name for tap, name in network.auxiliary.items() if tap in frozen and tap != cut]
        if network.is_frozen:
            network.module.requires_grad_(True)
        for name in (*frozen, *taps):
            network.part(name).requires_grad_(False)
        if self._spec.head is not None:
            self.use_adam(FINETUNING_LEARNING_RATE)

    def cut_for_finetuning(self) -> str:
        """Return the layer behind which the second stage trains. Raises ModelError where the network is trained whole.
        """
        if self.network.cut is None:
            raise ModelError(f"{self._spec.title} is trained whole; name a layer with --cut.")
        return self.network.cut

    def after(self, cut: str) -> TorchTrainable:
        """Return the rest of the network on activations. Raises ModelError for a layer that is no cut."""
        self._until(cut)
        return TorchTrainable(Rest(self.network, cut), to_activations, self._device,
                              pretrained=self.network.pretrained, auxiliary_weight=self.network.auxiliary_weight,
                              precision=self._chosen, learning_rate=self.learning_rate, seed=self._stepper.seed,
                              micro_batches=self.micro_batches)

    def save(self, path: Path, about: dict[str, Any]) -> None:
        """Write the plain state dict (.pth), and `about` beside it as .json."""
        self.save_weights(path)
        write_json(path.with_suffix(".json"), about)

    def save_weights(self, path: Path) -> None:
        """Write the plain state dict alone."""
        save_state(self.network, path)

    def load_weights(self, path: Path) -> None:
        """Read a state dict. Raises ModelError."""
        load_state(self.network, path, self._device, f"{self._spec.title} with {self.num_classes} classes")

    def export_trunk(self, folder: Path, until: str | None = None) -> Head:
        """Write trunk.xml and trunk.bin; return the head."""
        openvino = import_openvino()
        size = self.input_size
        example, trunk = torch.rand(2, *self._traced_size, 3, device=self._device), self._trunk(until)
        with torch.no_grad():
            trunk(example)  # constants are made now: the second of the two traces that are compared would have others
        with warnings.catch_warnings(), arithmetic(self._device, tf32=False):
            warnings.simplefilter("ignore")  # tracing is deprecated, and is what OpenVINO reads best
            converted = openvino.convert_model(trunk, example_input=example, input=[-1, *(size or (-1, -1)), 3])
        openvino.save_model(converted, folder / "trunk.xml", compress_to_fp16=False)
        return self.head()

    @property
    def _traced_size(self) -> tuple[int, int]:
        side = max(_TRACED_SIDE, self._spec.smallest_side)
        return self.input_size or (side, side)

    def _until(self, layer: str) -> tuple[str, ...]:
        return self.network.until(layer, self._spec.title)

    def _trunk(self, until: str | None) -> _Trunk:
        return _Trunk(self._spec.preprocess, Front(self.network, self._until(until or self.network.trunk[-1]))).eval()


class _Trunk(nn.Module):
    """Photos (B, H, W, 3) in [0, 1] to a layer's output (B, h, w, K), preprocessing included."""

    def __init__(self, preprocess: Preprocess | None, front: Front) -> None:
        super().__init__()
        self._preprocess, self.front = preprocess, front

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.maps(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    def maps(self, photos: torch.Tensor) -> torch.Tensor:
        """Map photos (B, 3, H, W) in [0, 1] to (B, K, h, w)."""
        maps: torch.Tensor = self.front(preprocessed(self._preprocess, photos))
        return maps
