"""The audit's page: one file, however much was found."""

from __future__ import annotations

from pathlib import Path

from matlens.data.audit.audit import Audit
from matlens.data.audit.checks import Finding, Thresholds
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


def test_nothing_found_is_said(drawn, tmp_path):
    """An empty page would look like a failure."""
    html = page_of(drawn, tmp_path, ())
    assert "0 findings in\n    48 photos" in html
    assert "Nothing was found." in html
