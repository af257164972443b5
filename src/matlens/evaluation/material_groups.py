"""Materials that are alike, in groups: is a mistake at least in the family? MINC-2500's, or those of a TOML file.

    [groups]
    "stone-like" = ["stone", "polishedstone", "tile"]
    textile = ["fabric", "carpet"]

Classes in no group stand for themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from matlens.data.source.minc import CLASS_NAMES
from matlens.errors import SettingsError
from matlens.evaluation.inference.groups import Groups
from matlens.evaluation.intervals import share_interval
from matlens.evaluation.predictions import Predictions
from matlens.system.files import write_text
from matlens.system.untrusted import TOML_LIMIT, in_short, read_text, read_toml, reading
from matlens.types import Array, Floats

FILE_NAME = "material_groups.toml"
"""In a run's folder: what its classes are grouped by."""
MINC_GROUPS = {"/".join(names): names for names in (("stone", "polishedstone", "tile"), ("fabric", "carpet", "leather"),
                                                    ("glass", "mirror", "water"))}


@dataclass(frozen=True)
class MaterialGroups:
    """Groups of the classes of a dataset.

    names: of the groups, and of classes in none. of_class: (C,) the group of each class, a position in `names`.
    classes: those of each group. source: where the groups were read, or who named them.
    """

    names: tuple[str, ...]
    of_class: tuple[int, ...]
    classes: tuple[tuple[str, ...], ...]
    source: str

    @classmethod
    def of(cls, groups: Mapping[str, Sequence[str]], class_names: Sequence[str], source: str) -> MaterialGroups:
        """Check groups by name. Raises SettingsError for an unknown class, one in two groups, or an ambiguous name."""
        placed: dict[str, str] = {}
        for name, members in groups.items():
            for member in members:
                if member not in class_names:
                    raise SettingsError(f"{source}: group '{name}' names '{in_short(member)}', which is no class of "
                                        f"this data. The classes are {', '.join(class_names)}.")
                if member in placed:
                    raise SettingsError(f"{source}: '{member}' is named twice, in group '{placed[member]}' and in "
                                        f"group '{name}'. A class belongs to one group.")
                placed[member] = name
        for name in groups:
            if name in class_names and placed.get(name) != name:
                raise SettingsError(f"{source}: group '{name}' has the name of a class that is not in it. Name it "
                                    "otherwise.")
        names = list(dict.fromkeys(placed.get(name, name) for name in class_names))
        return cls(tuple(names), tuple(names.index(placed.get(name, name)) for name in class_names),
                   tuple(tuple(member for member in class_names if placed.get(member, member) == name)
                         for name in names), source)

    @classmethod
    def read(cls, path: Path, class_names: Sequence[str]) -> MaterialGroups:
        """Read groups from a TOML file. Raises SettingsError."""
        way_out = "It must hold a table [groups] of lists of class names, such as: textile = [\"fabric\", \"carpet\"]."
        with reading(path, "a TOML file of material groups", SettingsError, way_out):
            content = read_toml(path)
        groups = content.get("groups")
        if not isinstance(groups, dict) or not groups or set(content) != {"groups"} or not all(
                isinstance(members, list) and members and all(isinstance(member, str) for member in members)
                for members in groups.values()):
            raise SettingsError(f"{path} holds no material groups. {way_out}")
        return cls.of(groups, class_names, str(path))

    @classmethod
    def known(cls, class_names: Sequence[str]) -> MaterialGroups | None:
        """Return MINC-2500's groups for its classes; None for others."""
        return cls.of(MINC_GROUPS, class_names, "MINC-2500") if set(class_names) == set(CLASS_NAMES) else None

    @classmethod
    def beside(cls, artifact: Path, class_names: Sequence[str]) -> MaterialGroups | None:
        """Return the groups of the run that an artifact's folder lies in, else MINC-2500's for its classes.

        Raises SettingsError where the run's file of groups is damaged.
        """
        given = artifact.parent.parent / FILE_NAME
        return cls.read(given, class_names) if artifact.parent.name == "models" and given.exists() else cls.known(
            class_names)

    def shares(self, probabilities: Array | Floats) -> list[dict[str, float]]:
        """Add up probabilities (B, C) by group: of each photo {group: probability}."""
        of_class = np.array(self.of_class)
        sums = np.stack([np.asarray(probabilities)[:, of_class == number].sum(axis=1, dtype=np.float64)
                         for number in range(len(self.names))], axis=1)
        return [dict(zip(self.names, map(float, row), strict=True)) for row in sums]

    def scores(self, predictions: Predictions) -> dict[str, Any]:
        """Score predictions by group: an answer is right if it is in the group of the true class.

        Returns:
            {accuracy, interval, mistakes, mistakes_inside, per_group: {name: {classes, precision, recall, support}},
            source}. Precision without an answer and recall without a photo are None.
        """
        group = np.array(self.of_class)
        truth, answer = group[predictions.labels], group[predictions.predicted]
        right, mistakes = truth == answer, predictions.labels != predictions.predicted
        interval = share_interval(right, Groups.of(predictions.groups))

        def share(hits: int, n: int) -> float | None:
            return hits / n if n else None

        per_group = {}
        for number, (name, classes) in enumerate(zip(self.names, self.classes, strict=True)):
            hits, support = int((right & (truth == number)).sum()), int((truth == number).sum())
            per_group[name] = {"classes": list(classes), "precision": share(hits, int((answer == number).sum())),
                               "recall": share(hits, support), "support": support}
        return {"accuracy": float(right.mean()), "interval": interval.to_json() if interval else None,
                "mistakes": int(mistakes.sum()), "mistakes_inside": int((mistakes & right).sum()),
                "per_group": per_group, "source": self.source}


def copy_groups(file: Path | None, run_dir: Path, class_names: Sequence[str]) -> None:
    """Copy a file of groups into a run's folder, where its evaluation looks for them. Raises SettingsError."""
    if file is not None:
        MaterialGroups.read(file, class_names)
        write_text(run_dir / FILE_NAME, read_text(file, TOML_LIMIT))
