"""MobileNetV2 by transfer (Sandler et al. 2018)."""

from __future__ import annotations

from dataclasses import replace

from matlens.models.libraries.applications import application
from matlens.models.registry import register
from matlens.models.spec import MLP

register(replace(application("MobileNetV2"), name="mobilenetv2_transfer", title="MobileNetV2 transfer",
                 head=MLP(512, dropout=0.6), in_default_run=True, rank=3))
