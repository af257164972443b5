"""Groups of materials: right in the family, and files that say what is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest

from matlens.data.source.minc import CLASS_NAMES
from matlens.errors import SettingsError
from matlens.evaluation.material_groups import FILE_NAME, MaterialGroups, copy_groups
from matlens.evaluation.predictions import Predictions

NAMES = ("brick", "carpet", "fabric", "tile")


def predictions(labels, answers) -> Predictions:
    return Predictions(np.eye(4, dtype=np.float32)[answers], np.array(labels), tuple(map(str, range(len(labels)))))


def test_a_mistake_in_the_family_is_right_at_group_level():
    """Carpet taken for fabric is forgiven, brick for tile is not: 3 of 4, and one of the two mistakes is inside."""
    groups = MaterialGroups.of({"textile": ["fabric", "carpet"]}, NAMES, "test")
    found = groups.scores(predictions([0, 1, 2, 0], [0, 2, 2, 3]))
    assert (found["accuracy"], found["mistakes"], found["mistakes_inside"]) == (0.75, 2, 1)
    assert found["per_group"] == {
        "brick": {"classes": ["brick"], "precision": 1.0, "recall": 0.5, "support": 2},
        "textile": {"classes": ["carpet", "fabric"], "precision": 1.0, "recall": 1.0, "support": 2},
        "tile": {"classes": ["tile"], "precision": 0.0, "recall": None, "support": 0}}
    assert 0 < found["interval"]["low"] < 0.75 < found["interval"]["high"] < 1


def test_mincs_groups_are_known_for_its_classes_only():
    groups = MaterialGroups.known(CLASS_NAMES)
    assert len(groups.names) == 23 - 9 + 3
    of = dict(zip(CLASS_NAMES, (groups.names[i] for i in groups.of_class), strict=True))
    assert of["stone"] == of["polishedstone"] == of["tile"] == "stone/polishedstone/tile"
    assert of["fabric"] == of["carpet"] == of["leather"] == "fabric/carpet/leather"
    assert of["glass"] == of["mirror"] == of["water"] == "glass/mirror/water"
    assert of["brick"] == "brick"
    assert MaterialGroups.known(NAMES) is None


def test_groups_from_a_file_go_into_the_run(tmp_path):
    file = tmp_path / "my groups.toml"
    file.write_text('[groups]\n"soft ones" = ["carpet", "fabric"]\n', "utf-8")
    (tmp_path / "run").mkdir()
    copy_groups(file, tmp_path / "run", NAMES)
    groups = MaterialGroups.read(tmp_path / "run" / FILE_NAME, NAMES)
    assert groups.names == ("brick", "soft ones", "tile")
    copy_groups(None, tmp_path / "run", NAMES)  # keeps what is there
    assert (tmp_path / "run" / FILE_NAME).exists()


@pytest.mark.parametrize("text, says", [
    ("[groups", "TOML"), ("", "no material groups"), ("groups = 3", "no material groups"),
    ("[groups]\na = []", "no material groups"), ("[groups]\na = 'brick'", "no material groups"),
    ("[groups]\na = [1]", "no material groups"), ("a = ['brick']", "no material groups"),
    ("[groups]\na = ['brck']", "'brck'.* no class of this data.*brick, carpet"),
    ("[groups]\na = ['brick', 'brick']", "named twice"),
    ("[groups]\na = ['brick']\nb = ['tile', 'brick']", "group 'a' and in group 'b'"),
    ("[groups]\ntile = ['brick']", "'tile' has the name of a class that is not in it")])
def test_a_file_that_will_not_do_is_named_with_the_way_out(tmp_path, text, says):
    file = tmp_path / "g.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=rf"(?s)g\.toml.*{says}"):
        MaterialGroups.read(file, NAMES)
