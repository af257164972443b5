"""Pictures are drawn once, and are those that matplotlib makes in several drawings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.figure import Figure

from matlens.evaluation.displays.curves import ConfusionMatrix, RocCurves, TrainingCurves
from matlens.system.figures import save_figure

FALLING = [1.0 / epoch for epoch in range(1, 8)]
HISTORY = {"loss": FALLING, "val_loss": FALLING, "accuracy": FALLING[::-1], "val_accuracy": FALLING[::-1],
           "learning_rate": [1e-3] * 7}
CURVE = {"fpr": np.array([0.0, 0.5, 1.0]), "tpr": np.array([0.0, 0.8, 1.0]), "auc": 0.9}


@pytest.mark.parametrize("style", [{}, {"figure.autolayout": True}, {"figure.constrained_layout.use": True}])
def test_a_picture_is_drawn_once_and_is_the_one_that_matplotlib_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                      style: dict[str, bool]) -> None:
    """Drawing is a second of a run, and most of it was drawing for nothing."""
    displays = (ConfusionMatrix.from_matrix(np.eye(23) * 40 + 1, [f"class {n}" for n in range(23)], "model"),
                TrainingCurves.from_history(HISTORY, "model"),
                RocCurves.from_roc_data({"per_class": {"wood": CURVE}, "micro": CURVE, "macro": CURVE}, "model"))
    drawn = Figure.draw
    for number, display in enumerate(displays):
        expected, file, calls = tmp_path / f"{number}-plain.png", tmp_path / f"{number}.png", list[Any]()
        plain = display.draw()
        for _ in range(2):
            plain.draw_without_rendering()
        plain.set_layout_engine("none")
        plain.savefig(expected, dpi=150, bbox_inches=plain.get_tightbbox().padded(0.1),
                      pil_kwargs={"compress_level": 3})
        with rc_context(style), monkeypatch.context() as watched:
            watched.setattr(Figure, "draw", lambda *given, calls=calls: (calls.append(given), drawn(*given)))
            save_figure(display.draw(), file)
        assert len(calls) == 1
        assert file.read_bytes() == expected.read_bytes()
