"""Read photo files: the one way from a path to pixels, whoever asks and whatever is wrong with the file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2

from matlens.data.pixels.decode import decode, resize
from matlens.data.pixels.files import content_of, digest_of
from matlens.data.pixels.problems import Problem, UnreadableImageError, problem_of
from matlens.errors import DataError
from matlens.types import Pixels

_CHANGED = Problem("it changes while it is read", "trouble")


@dataclass(frozen=True)
class PhotoReader:
    """Read photos as RGB pixels, (H, W, 3) uint8, upright.

    img_size: (height, width) that photos are resized to; None leaves them as large as their files hold them.
    keep_truncated: accept a photo whose end is missing, the missing part grey or black.
    min_size: (height, width) that is large enough where nothing is resized: `decode` may then shrink a far larger JPEG.
    most_pixels: of a photo that is read, where that is fewer than `decode` reads.
    """

    img_size: tuple[int, int] | None = None
    keep_truncated: bool = False
    min_size: tuple[int, int] | None = None
    most_pixels: int | None = None

    def attempt_content(self, content: bytes) -> Pixels | Problem:
        """Read a photo from the content of its file. Returns its pixels, or why there are none."""
        try:
            return self._pixels(content)
        except UnreadableImageError as error:
            return error.problem

    def attempt(self, path: Path, sha256: str | None = None) -> Pixels | Problem:
        """Read a photo. Returns its pixels, or why there are none. sha256: what its content must be."""
        try:
            content = content_of(path)
        except UnreadableImageError as error:
            return error.problem if sha256 is None else _problem_of_content(path, sha256, error)
        try:
            if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
                return _CHANGED
            return self._pixels(content)
        except UnreadableImageError as error:
            return error.problem

    def read(self, path: Path) -> Pixels:
        """Read a photo. Raises DataError, which names the file, the reason and the way out."""
        pixels = self.attempt(path)
        if isinstance(pixels, Problem):
            raise unreadable(path, pixels)
        return pixels

    def read_or_none(self, path: Path, sha256: str | None = None) -> Pixels | None:
        """Read a photo. Returns None where it is none that matlens reads; raises DataError for a trouble.

        sha256: what its content must be.
        """
        pixels = self.attempt(path, sha256)
        if not isinstance(pixels, Problem):
            return pixels
        if pixels.kind == "trouble":
            raise unreadable(path, pixels)
        return None

    def read_unchanged(self, path: Path, sha256: str) -> Pixels:
        """Read a photo of a split, whose content must still have the SHA-256 that the split states.

        Raises:
            DataError: the file cannot be read, or it was changed since the split was made.
        """
        pixels = self.attempt(path, sha256)
        if pixels is _CHANGED:
            raise DataError(f"{path} was changed after the split was made. Put the original file back, or start a "
                            "new run, which makes a new split.")
        if isinstance(pixels, Problem):
            raise unreadable(path, pixels, "which is part of the split")
        return pixels

    def _pixels(self, content: bytes) -> Pixels:
        pixels = decode(content, min_size=self.img_size or self.min_size, keep_truncated=self.keep_truncated,
                        most_pixels=self.most_pixels)
        try:
            return pixels if self.img_size is None else resize(pixels, self.img_size)
        except (MemoryError, cv2.error) as error:
            raise UnreadableImageError(problem_of(MemoryError())) from error


def _problem_of_content(path: Path, sha256: str, error: UnreadableImageError) -> Problem:
    """Return why a file that had this SHA-256 before is not read; what another content lacks says nothing of that."""
    if not error.problem.is_of_the_photo:
        return error.problem
    if error.__cause__ is not None:  # the system's, of the path
        return Problem(error.problem, "trouble")
    try:
        return error.problem if digest_of(path)[0] == sha256 else _CHANGED
    except UnreadableImageError as second:
        return Problem(second.problem, "trouble")


def unreadable(path: Path, problem: Problem, which: str = "") -> DataError:
    """Return the error for a photo that is needed and cannot be read, with the way out."""
    return DataError(f"Cannot read {path}{f', {which}' if which else ''}: {problem}. {_WAYS_OUT[problem.kind]}")


_WAYS_OUT = {
    "damaged": "Get the file again, or take it out of the dataset.",
    "unsupported": "Convert it, or take it out of the dataset.",
    "missing": "Put the file back, or take its name out of the list or the split.",
    "trouble": "The photo itself may be whole: give this machine what it lacks (memory, the disk or network behind "
               "the file, the permission to read it: chmod u+r), then repeat the command; nothing was kept of this.",
}
"""What to do, by the kind of the problem."""
