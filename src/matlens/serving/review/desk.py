"""What a review knows: its cards, its photos, and the decisions that stand."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import simplejpeg

from matlens.data.pixels.decode import resize
from matlens.data.pixels.reader import PhotoReader
from matlens.data.split.splits import Photo
from matlens.errors import DataError, MatlensError
from matlens.jobs.labelling.cards import ReviewCard
from matlens.jobs.labelling.decisions_file import DecisionsFile
from matlens.runs.run import Run
from matlens.serving.limits import Refused
from matlens.settings.corrections.decisions import ACTIONS, Decision, DecisionLog
from matlens.settings.repetition import run_command
from matlens.system.untrusted import quoted

SIDE = 720
"""Pixels of the longer side of a photo as it is shown."""


@dataclass(frozen=True)
class ReviewDesk:
    """Photos of a run that are to be looked at, and the file that takes the decisions."""

    run: Run
    cards: Sequence[ReviewCard]
    file: DecisionsFile

    @cached_property
    def _shown(self) -> frozenset[int]:
        """The positions of all photos of the page."""
        return frozenset(number for card in self.cards for number in (card.number, *card.like))

    def about(self) -> dict[str, Any]:
        """Describe the run and its cards for the page."""
        photos, log = self.run.split.photos, self.file.read()
        return {"format": 1, "run": self.run.title, "classes": list(self.run.split.class_names),
                "file": str(self.file.path), "next": self._next_command(),
                "photos": {number: {"path": photos[number].path, "part": photos[number].part,
                                    "label": photos[number].class_name} for number in sorted(self._shown)},
                "cards": [{"number": card.number, "reasons": [asdict(reason) for reason in card.reasons],
                           "answers": {name: dict(likeliest) for name, likeliest in card.answers.items()},
                           "like": card.like} for card in self.cards],
                "decided": self._decided(log)}

    def decided(self) -> dict[str, Any]:
        """Return what stands, for a page that was open while others decided."""
        return {"format": 1, "decided": self._decided(self.file.read())}

    def decide(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Take a decision, at once on the disk, and return all that stand.

        asked: number (of a photo of the page), action, and `to` with relabel.

        Raises:
            Refused: it is impossible (400), or there is nothing to undo (409).
            MatlensError: the file is damaged, or cannot be written.
        """
        photo, action, to = self._photo(asked.get("number")), asked.get("action"), asked.get("to")
        if action not in ACTIONS:
            raise Refused(400, f"The action is one of {', '.join(ACTIONS)}, and not {quoted(action)}.")
        if action == "relabel" and to not in self.run.split.class_names:
            raise Refused(400, f"{quoted(to)} is none of the classes {', '.join(self.run.split.class_names)}.")

        def decision(log: DecisionLog) -> Decision:
            standing = log.standing.get((photo.path, photo.sha256), ())
            time = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            if action == "undo" and not standing:
                raise Refused(409, f"There is no decision on {quoted(photo.path)} to undo.")
            before = standing[-2].to if len(standing) > 1 else self._of_folder(photo)
            new = {"keep": photo.class_name, "relabel": str(to), "leave_out": "", "undo": before}[action]
            return Decision(time, photo.path, photo.sha256, self._of_folder(photo), new, action)

        try:
            return {"format": 1, "decided": self._decided(self.file.add(decision))}
        except ValueError as error:  # what no line can hold
            raise Refused(400, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None

    def picture(self, number: object) -> bytes:
        """Return a photo of the page as JPEG, upright, SIDE pixels at most. Raises Refused (404) where it is gone."""
        photo = self._photo(number)
        reader = PhotoReader(min_size=(SIDE, SIDE), keep_truncated=self.run.settings.keep_truncated)
        try:
            pixels = reader.read_unchanged(self.run.data_root / photo.path, photo.sha256)
        except DataError as error:
            raise Refused(404, str(error)) from None
        scale = min(SIDE / max(pixels.shape[:2]), 1)
        height, width = (max(round(length * scale), 1) for length in pixels.shape[:2])
        return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(resize(pixels, (height, width))), quality=88))

    def _photo(self, number: object) -> Photo:
        """Return a photo of the page: no request names a path."""
        if not isinstance(number, int) or isinstance(number, bool) or number not in self._shown:
            raise Refused(404, "There is no such photo on this page.")
        return self.run.split.photos[number]

    def _of_folder(self, photo: Photo) -> str:
        """Return the label that a photo has without corrections; the run may have applied some."""
        digest, given, _ = self.run.settings.corrections.get(photo.path, ("", "", ""))
        return given if digest == photo.sha256 else photo.class_name

    def _decided(self, log: DecisionLog) -> dict[int, dict[str, str]]:
        """Return what was decided on the photos of the page, by their numbers.

        Where a correction that the run applied was undone, the action is `undo`, and `to` the label of the folder.
        """
        decided = {}
        for number in sorted(self._shown):
            photo = self.run.split.photos[number]
            if standing := log.standing.get((photo.path, photo.sha256)):
                decided[number] = {"action": standing[-1].action, "to": standing[-1].to}
            elif (given := self._of_folder(photo)) != photo.class_name:
                decided[number] = {"action": "undo", "to": given}
        return decided

    def _next_command(self) -> str:
        """Return the command that trains with the decisions, as the run was trained."""
        recorded = {**self.run.settings.model_dump(mode="json"), "corrections": {}}
        try:
            line, _ = run_command(recorded, self.run.data_root, "--corrections", self.file.path)
        except MatlensError:
            line = None
        return line or ""
