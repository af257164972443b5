"""Photos that reach a device as bytes: made floats and varied there. This needs PyTorch alone, no torchvision."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional


@dataclass(frozen=True)
class DevicePhotos:
    """`matlens.types.BytePhotos` as tensors on a device.

    pixels: (B, H, W, 3) uint8; warps: (B, 2, 3) float32 or None; contrasts: (B,) float32 or None.
    """

    pixels: torch.Tensor
    warps: torch.Tensor | None = None
    contrasts: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, part: slice) -> DevicePhotos:
        return DevicePhotos(self.pixels[part], None if self.warps is None else self.warps[part],
                            None if self.contrasts is None else self.contrasts[part])

    def floats(self) -> torch.Tensor:
        """Compute (B, 3, H, W) float32 in [0, 1], channels last in memory.

        As `matlens.data.pixels.augment.augment` does it, but without rounding between warp and contrast, and with
        weights of full precision where OpenCV has 32 steps. It copies nothing from the host, so a graph can record it.
        """
        photos = self.pixels.permute(0, 3, 1, 2).float() / 255
        if self.warps is not None:
            photos = _warped(photos, self.warps)
        if self.contrasts is not None:
            means = photos.mean((2, 3), keepdim=True)
            photos = ((photos - means) * self.contrasts[:, None, None, None] + means).clamp(0, 1)
        return photos.contiguous(memory_format=torch.channels_last)


def _warped(photos: torch.Tensor, warps: torch.Tensor) -> torch.Tensor:
    """Interpolate photos (B, 3, H, W) between the four pixels around each position that a warp names.

    grid_sample's reflection about the outer edges of the outermost pixels (align_corners=False) is OpenCV's
    BORDER_REFLECT. Its positions run from -1 at the left edge to 1 at the right one.
    """
    height, width = photos.shape[2:]
    x = torch.arange(width, device=photos.device, dtype=torch.float32)
    y = torch.arange(height, device=photos.device, dtype=torch.float32)[:, None]
    row, column = warps[:, :, None, None, :].unbind(1)
    across = (row[..., 0] * x + row[..., 1] * y + row[..., 2] + 0.5) * (2 / width) - 1
    down = (column[..., 0] * x + column[..., 1] * y + column[..., 2] + 0.5) * (2 / height) - 1
    return functional.grid_sample(photos, torch.stack((across, down), dim=-1), mode="bilinear",
                                  padding_mode="reflection", align_corners=False)
