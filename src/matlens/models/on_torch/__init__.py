"""The PyTorch room: GoogLeNet. Nothing else in matlens imports torch or torchvision."""

from matlens.models.on_torch.room import TorchRoom

room = TorchRoom()

__all__ = ["room"]
