"""ResNet50 by transfer (He et al. 2016)."""

from __future__ import annotations

from dataclasses import replace

from matlens.models.libraries.applications import application
from matlens.models.registry import register

register(replace(application("ResNet50"), name="resnet50_transfer", title="ResNet50 transfer", in_default_run=True,
                 rank=2))
