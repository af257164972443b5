"""What is measured of a trained model on request: a JSON file in the run's `reports/` that knows of which training."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Self

from pydantic import ConfigDict, TypeAdapter

from matlens.errors import ResultsError
from matlens.runs.paths import RunPaths
from matlens.system.console import command
from matlens.system.files import checksum, read_json, write_json
from matlens.system.untrusted import reading


class Measurement:
    """The base of dataclasses that are the content of `<name>_<kind>.json`.

    kind: what was measured, as in the file's name.
    command: the words of what measures it, with RUN for the run's folder.
    artifact: SHA-256 of the artifact.json of the model that was measured.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: ClassVar[str]
    command: ClassVar[tuple[str, ...]]
    model_name: str
    artifact: str

    @classmethod
    def command_for(cls, run: Path | str) -> str:
        """Write the command that measures it in a run's folder."""
        return command(*(run if word == "RUN" else word for word in cls.command))

    def write(self, path: Path) -> Path:
        """Write as JSON, whole or not at all."""
        return write_json(path, {"format": 1, **dataclasses.asdict(self)})  # type: ignore[call-overload]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote. Raises ResultsError."""
        way_out = f"Make it with: {cls.command_for(path.parent.parent)}"
        with reading(path, f"a {cls.kind} file of matlens, or it is damaged", ResultsError, way_out):
            content = read_json(path)
            del content["format"]
            return TypeAdapter(cls).validate_python(content)

    def write_into(self, paths: RunPaths) -> Path:
        """Write among the run's reports."""
        return self.write(paths.on_request_file(self.model_name, self.kind))

    @classmethod
    def current(cls, paths: RunPaths, name: str) -> Self | None:
        """Read what was measured of a run's model as it is now; None where nothing was.

        Raises:
            ResultsError: the file is damaged, or of an earlier training or export of the model.
        """
        path = paths.on_request_file(name, cls.kind)
        if not path.exists():
            return None
        measured, artifact = cls.read(path), paths.artifact(name)
        if artifact.exists() and digest_of(artifact) != measured.artifact:
            raise ResultsError(f"{path.name} was measured before {name} was trained or exported again, so it is left "
                               f"out. Make it again with: {cls.command_for(paths.path)}")
        return measured


def digest_of(artifact: Path) -> str:
    """Return the SHA-256 of an artifact's artifact.json, which tells one training or export from another."""
    return checksum(artifact / "artifact.json")
