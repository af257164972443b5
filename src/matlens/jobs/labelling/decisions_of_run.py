"""Where a run has its decisions on labels, and with what these begin."""

from __future__ import annotations

from pathlib import Path

from matlens.runs.record import RunRecord
from matlens.settings.corrections.decisions import Decision, DecisionLog
from matlens.settings.corrections.setting import DECISIONS_FILE


def decisions_path(run: RunRecord) -> Path:
    """Name the file in a run's folder to which decisions on its photos are added."""
    return run.path / DECISIONS_FILE


def first_decisions(run: RunRecord) -> DecisionLog:
    """Return what a new file of decisions on a run's photos holds: the corrections that the run applied.

    A later run with that file then applies these and the new ones, to labels as the photos' folders have them.
    """
    return DecisionLog(tuple(Decision("", path, digest, given, to, "relabel" if to else "leave_out")
                             for path, (digest, given, to) in run.settings.corrections.items()))
