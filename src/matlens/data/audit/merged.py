"""What an audit found, each thing once: a pair of photos may be a copy, in two classes, and a leak, all at a time."""

from __future__ import annotations

from dataclasses import dataclass

from matlens.data.audit.audit import Audit
from matlens.data.audit.checks import ADVICE, Finding

OF_COPIES = ("leak", "two_classes", "exact_duplicate", "near_duplicate")
"""The kinds of findings that may be about one group of photos, the gravest first."""


@dataclass(frozen=True)
class Issue:
    """The findings about the same photos, the gravest first; of other kinds than OF_COPIES always a single one."""

    findings: tuple[Finding, ...]

    @property
    def kind(self) -> str:
        """The gravest kind."""
        return self.findings[0].kind

    @property
    def paths(self) -> tuple[str, ...]:
        """All photos of the findings, in order."""
        return tuple(sorted({path for finding in self.findings for path in finding.paths}))

    @property
    def advice(self) -> str:
        """What to do, so that nothing is left to do of the other kinds: where classes differ, that is decided first."""
        kinds = [finding.kind for finding in self.findings]
        return ADVICE["two_classes" if "two_classes" in kinds else self.kind]


def issues_of(audit: Audit) -> tuple[Issue, ...]:
    """Put findings about the same photos together, the gravest kind first, then by path."""
    groups: list[list[Finding]] = []
    of_path: dict[str, list[Finding]] = {}
    for finding in sorted(audit.findings, key=_rank):
        if finding.kind not in OF_COPIES:
            groups.append([finding])
            continue
        known = {id(group): group for path in finding.paths if (group := of_path.get(path)) is not None}
        merged = [finding] if not known else next(iter(known.values()))
        if known:
            for other in list(known.values())[1:]:
                merged += other
                other.clear()
            merged.append(finding)
        else:
            groups.append(merged)
        for path in {path for part in merged for path in part.paths}:
            of_path[path] = merged
    issues = [Issue(tuple(sorted(group, key=_rank))) for group in groups if group]
    return tuple(sorted(issues, key=lambda issue: (_rank(issue.findings[0]), issue.paths)))


def _rank(finding: Finding) -> int:
    """Return the place of a finding's kind in the order of ADVICE."""
    return list(ADVICE).index(finding.kind)
