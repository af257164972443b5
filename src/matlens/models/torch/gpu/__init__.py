"""What makes a GPU busy: input beside the computing, recorded steps, shorter arithmetic. It needs no torchvision."""
