"""The libraries of backbones whose models matlens takes by name, such as `timm/resnet18`: one file each."""
