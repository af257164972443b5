"""What the tests of pages share: a parser that finds tags, attributes and text."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from builders import results_of
from matlens.evaluation.results import Results
from matlens.report.page import write_report


class Page(HTMLParser):
    """Tags with their attributes, and the text as one line."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, attribute: str) -> list[str]:
        return [value for _, attributes in self.tags if (value := attributes.get(attribute)) is not None]


def page(folder: Path, **options: Any) -> Page:
    """Write the page of a run, and parse it."""
    return Page(write_report(folder, **options))


def results(name: str, accuracy: float = 0.9, n: int = 100, classes: tuple[str, ...] = ("glass", "wood"),
            **changes: Any) -> Results:
    """What stands on the page of a model of two classes."""
    score = {"precision": 0.5, "recall": 0.25, "f1": 0.75, "support": n / 2}
    return results_of(name, accuracy, n, classes, **{
        "macro_precision": 0.8, "macro_recall": 0.8, "macro_f1": 0.8, "per_class": dict.fromkeys(classes, score),
        "confusion_matrix": [[40, 7], [3, 50]], "seconds": {"train": 192.0}, "parameters": 2_916_000, "epochs": 4,
        "best_epoch": 3, "peak_rss_bytes": 1_300_000_000, "versions": {"keras": "3.15.1"}, **changes})
