"""PyTorch. Nothing else in matlens imports torch or torchvision, except Keras on PyTorch."""

import torch

from matlens.models.torch.room import TorchRoom
from matlens.system.devices import usable_cores

# Never more than PyTorch chose, which leaves a core's second thread alone and heeds OMP_NUM_THREADS.
torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))

room = TorchRoom()

__all__ = ["room"]
