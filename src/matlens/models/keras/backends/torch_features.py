"""Features of frozen trunks of Keras on PyTorch."""

from __future__ import annotations

import keras
import torch

from matlens.models.keras.backends.torch_steps import Constants, spared_passes
from matlens.models.torch.device_photos import DevicePhotos
from matlens.models.torch.gpu.features import Extractor
from matlens.models.torch.gpu.steps import Recorder


class KerasExtractor(Extractor):
    """Computes the features of a trunk: photos (B, H, W, 3) in [0, 1] to maps (B, h, w, K)."""

    def __init__(self, trunk: keras.Model, device: torch.device, recorder: Recorder | None) -> None:
        self._trunk, self._on = trunk, device
        self._constants = Constants(device)
        self._weights = self._addresses()
        super().__init__(self._maps_of, device, recorder, self._constants.clear)

    def is_of(self, trunk: keras.Model, device: str) -> bool:
        """Return whether it is of this trunk, as it lies in a device's memory now."""
        return trunk is self._trunk and torch.device(device) == self._on and self._weights == self._addresses()

    def _addresses(self) -> list[int]:
        return [variable.value.data_ptr() for variable in self._trunk.variables]

    def _maps_of(self, photos: DevicePhotos) -> torch.Tensor:
        with self._constants, spared_passes():
            maps: torch.Tensor = self._trunk(photos.floats().permute(0, 2, 3, 1), training=False)
            return maps
