"""The job `timm`: ask the library timm what it says of its networks, or look at some of them."""

from __future__ import annotations

from matlens.models.libraries.timm import EVERYTHING, TimmTask
from matlens.workers.registry import Tell, job


@job("timm")
def timm(task: TimmTask, tell: Tell) -> None:
    """Tell of `said`: what is known of each subject, by its name."""
    from matlens.models.torch.timm.describe import card, catalogue

    for subject in task.subjects:
        tell("said", networks={subject: catalogue() if subject == EVERYTHING else card(subject)})
