"""The audit's page: one file, however much was found."""

from __future__ import annotations

from pathlib import Path

from matlens.data.audit.audit import Audit
from matlens.data.audit.checks import ADVICE, Finding, Thresholds
from matlens.data.audit.merged import issues_of
from matlens.report.audit_page import FINDINGS_SHOWN, write_audit_page


def page_of(drawn: Path, place: Path, findings: tuple[Finding, ...]) -> str:
    audit = Audit(drawn, 48, {"<b>": 48}, findings, {}, Thresholds(), 1.0)
    return write_audit_page(place / "audit.html", audit).read_text(encoding="utf-8")


def test_what_is_not_shown_is_counted(drawn, tmp_path):
    """A dataset of 57,500 broken files must not make a page that no browser opens."""
    gone = tuple(Finding("missing", (f"sky/{number}.jpg",), "listed") for number in range(FINDINGS_SHOWN + 1_002))
    copies = Finding("exact_duplicate", tuple(f"sky/sky_{number:06}.jpg" for number in range(1, 13)), "12 files")
    html = page_of(drawn, tmp_path, (copies, *gone))
    assert html.count("no picture") == FINDINGS_SHOWN
    assert "and 1,002 more<" in html
    assert html.count("data:image/jpeg") == 8
    assert "and 4 more photos" in html
    assert "<dt>&lt;b&gt;</dt>" in html


def test_a_pair_is_one_finding_and_leaks_come_first(drawn: Path, tmp_path: Path) -> None:
    """A pair that is a copy, in two classes and a leak; a copy of its first photo; and a pair that is a copy alone."""
    pair, more, other = ("a/1.jpg", "b/1.jpg"), ("a/1.jpg", "a/2.jpg"), ("c/1.jpg", "c/2.jpg")
    findings = (Finding("blank", ("c/3.jpg",), "one colour"), Finding("exact_duplicate", more, "same bytes"),
                Finding("near_duplicate", pair, "alike"), Finding("two_classes", pair, "as a and b"),
                Finding("leak", pair, "in train and test"), Finding("near_duplicate", other, "alike"))
    audit = Audit(drawn, 48, {"a": 48}, findings, {}, Thresholds(), 1.0)
    issues = issues_of(audit)
    assert [(issue.kind, issue.paths) for issue in issues] == [
        ("leak", ("a/1.jpg", "a/2.jpg", "b/1.jpg")), ("near_duplicate", other), ("blank", ("c/3.jpg",))]
    assert issues[0].advice == ADVICE["two_classes"] and issues[1].advice == ADVICE["near_duplicate"]
    html = page_of(drawn, tmp_path, findings)
    assert "3 issues in 48 photos; 1 of them is a leak" in html
    assert html.count(">b/1.jpg<") == 1 and html.index('id="leak"') < html.index('id="near_duplicate"')
    assert len(audit.as_json()["findings"]) == 6


def test_nothing_found_is_said(drawn, tmp_path):
    """An empty page would look like a failure."""
    html = page_of(drawn, tmp_path, ())
    assert "0 issues in 48 photos" in html
    assert "Nothing was found." in html
