"""A reporter in a job: what it is given goes to the process that asked for the job, which shows it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matlens.settings.schema import Settings
from matlens.system.console import Advance, Reporter
from matlens.system.transport import Event
from matlens.types import Pace
from matlens.workers.registry import Tell

SHOWN = frozenset({"said", "warned", "printed", "progress"})
"""The events by which it tells."""


class TellingReporter(Reporter):
    """Tells of each line and of progress, in events: `said`, `warned`, `printed` (a result) and `progress`."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell, self._lock = tell, threading.Lock()

    @property
    def live(self) -> bool:
        """Nothing is drawn here."""
        return False

    def say(self, text: str, style: str = "") -> None:
        """Tell of a line about the work."""
        self._send("said", text=text, style=style)

    def warn(self, text: str) -> None:
        """Tell of a warning."""
        self._send("warned", text=text)

    def result(self, text: str, style: str = "") -> None:
        """Tell of a line that the user asked for."""
        self._send("printed", text=text, style=style)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Advance]:
        """Tell of progress, some times a second at most."""
        pace = Pace()

        def advance(done: int, words: str) -> None:
            if pace.due():
                self._send("progress", title=title, total=total, done=done, words=words)

        yield advance

    def _send(self, event: str, **content: object) -> None:
        with self._lock:  # trunks are converted in a thread, which warns too
            self._tell(event, **content)


def show(event: Event, reporter: Reporter, name: str) -> None:
    """Show a line that a `TellingReporter` told of. name: what it is about; "" where that is plain."""
    text = event["text"]
    *before, last = name.split(", ")
    if text.startswith(f"{last}: "):  # it names its model by itself
        name = ", ".join(before)
    if name:
        first = text[:len(text) - len(text.lstrip())]  # tables and lists stay indented
        text = f"{first}{name}: {text.lstrip()}" if text.strip() else text
    if event["event"] == "warned":
        reporter.warn(text)
    elif event["event"] == "printed":
        reporter.result(text, event["style"])
    else:
        reporter.say(text, event["style"])


def packed(settings: Settings) -> str:
    """Write settings as a task carries them: JSON, as run.json has them."""
    return json.dumps(settings.model_dump(mode="json"))


def unpacked(text: str) -> Settings:
    """Read settings from a task. Those of the machine are as the process that asked has them."""
    return Settings.recorded(json.loads(text), Path("the task of a job"))
