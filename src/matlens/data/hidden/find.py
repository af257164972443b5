"""Find hidden groups: what names and times propose, kept only if the photos look accordingly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from matlens.data.hidden.evidence import Evidence, evidence_for
from matlens.data.hidden.names import Proposal, propose_from_names
from matlens.data.hidden.times import propose_from_times
from matlens.data.split.splits import Split
from matlens.errors import DataError
from matlens.system.caches import Say
from matlens.system.console import shell_word
from matlens.types import Array

AUTO = "auto"
"""The value of `--groups` that asks for the groups that are found here."""

LEAST_EXCESS = 0.5
"""From which excess on (`Evidence.excess`) names are believed. The samples of KTH-TIPS2a reach 0.87, its camera
settings 0.53, other fields of its names at most 0.08, and no field of TrashNet's names divides its classes."""

LEAST_EXCESS_OF_TIMES = 0.2
"""The same for bursts, for which the times speak already."""

_EXAMPLES = 3


@dataclass(frozen=True)
class HiddenGroups:
    """Groups of photos of one object or scene, and how far the photos' looks bear that out."""

    proposal: Proposal
    evidence: Evidence

    @property
    def source(self) -> str:
        """What shows the groups, in words."""
        return "their names" if self.proposal.pattern else "the times at which they were taken"

    @property
    def option(self) -> str:
        """The option that keeps these groups together, as it is written on a command line."""
        return f"--groups {shell_word(self.proposal.pattern or AUTO)}"

    def summary(self) -> str:
        """Say how many photos the groups hold, of which one is shown, and how well the looks bear them out."""
        groups, sure = self.proposal.groups, self.evidence
        example = max(groups, key=len)
        return (f"{sum(map(len, groups)):,} photos form {len(groups):,} groups by {self.source}, such as "
                f"{', '.join(example[:_EXAMPLES])}{', ...' if len(example) > _EXAMPLES else ''}. The photo that looks "
                f"most alike is of the same group for {100 * sure.together:.0f} % of them (by chance: "
                f"{100 * sure.chance:.0f} %).")

    def torn_in(self, split: Split) -> list[tuple[str, str]]:
        """List the test photos that have a photo of their group in another part, each with one such photo."""
        part_of = {photo.path: photo.part for photo in split.photos}
        torn = []
        for group in self.proposal.groups:
            other = next((path for path in group if part_of.get(path) in ("train", "val")), None)
            if other is not None:
                torn += [(path, other) for path in group if part_of.get(path) == "test"]
        return sorted(torn)

    def remark(self, split: Split) -> str | None:
        """Return the sentence that a reader of results on this split must know, or None if no group is divided."""
        torn = self.torn_in(split)
        if not torn:
            return None
        examples = "; ".join(f"{path} like {other}" for path, other in torn[:_EXAMPLES])
        return (f"{len(torn):,} of {len(split.part('test')):,} test photos seem to show the same object or scene as a "
                f"photo of the training or validation set, by {self.source} (such as {examples}): the results are too "
                f"good for photos of other objects. Keep them together with {self.option}")


def hidden_groups(classes: Mapping[str, str], describe: Callable[[Sequence[str]], Mapping[str, Array]],
                  time_of: Callable[[str], tuple[str, datetime] | None]) -> list[HiddenGroups]:
    """Return the groupings that the photos' looks bear out, the surest first.

    Args:
        classes: the class of each readable photo by its path.
        describe: returns what `matlens.data.hidden.looks.describe` gives for these photos. Called only if something is
            proposed.
        time_of: returns the camera and the time of a photo where its file states them.
    """
    if not classes:
        return []
    proposals = propose_from_names(classes)
    bursts = propose_from_times(classes, time_of)
    if bursts is not None:
        proposals.append(bursts)
    if not proposals:
        return []
    descriptions = describe(list(classes))
    judged = [HiddenGroups(proposal, evidence_for(proposal.groups, descriptions, classes)) for proposal in proposals]
    return sorted(filter(_is_believed, judged), key=lambda hidden: -hidden.evidence.excess)


def _is_believed(hidden: HiddenGroups) -> bool:
    least = LEAST_EXCESS if hidden.proposal.pattern else LEAST_EXCESS_OF_TIMES
    return hidden.evidence.excess >= least and hidden.evidence.together > hidden.evidence.most


def auto_groups(groupings: Sequence[HiddenGroups], root: object, say: Say) -> tuple[list[tuple[str, ...]], str]:
    """Return the surest grouping, for `--groups auto`, and the groups' name in a split: their pattern, or `auto`.

    Args:
        say: called with a sentence on what is joined.

    Raises:
        DataError: there is no grouping.
    """
    if not groupings:
        raise DataError(f"--groups {AUTO}: neither the names nor the times of the photos in {root} show groups that "
                        "the photos' looks bear out. Name them with --groups FILE (lines path,group) or a pattern such "
                        r"as --groups '(scene\d+)_', or leave --groups out.")
    best = groupings[0]
    say(f"--groups {AUTO}: {best.summary()} Each group stays in one part; {best.option} gives the same.")
    return list(best.proposal.groups), best.proposal.pattern or AUTO
