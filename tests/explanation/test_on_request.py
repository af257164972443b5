"""What is measured on request: damaged files, and measurements of an earlier training, are named with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from matlens.errors import ResultsError
from matlens.explanation.faithfulness.results import Faithfulness
from matlens.explanation.galleries import Gallery
from matlens.explanation.on_request import Measurement
from matlens.robustness.curves import Robustness
from matlens.runs.paths import RunPaths

KINDS = {Faithfulness: "matlens explain {run} --faithfulness 30", Gallery: "matlens explain {run} --galleries",
         Robustness: "matlens evaluate {run} --robustness"}
NAME = "mobilenetv2_transfer"


@pytest.fixture(params=KINDS, ids=lambda kind: kind.kind)
def kind(request) -> type[Measurement]:
    return request.param


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    made = RunPaths(tmp_path / "run")
    made.artifact(NAME).mkdir(parents=True)
    (made.artifact(NAME) / "artifact.json").write_text("{}")
    return made


def empty(kind: type[Measurement], artifact: str) -> Measurement:
    """A measurement of nothing."""
    values = {Faithfulness: ("gradcam", 0, (), (), {}, {}, {}, {}), Gallery: ("gradcam", (), (), (), {}, ()),
              Robustness: (0, 0.5, {}, {})}
    return kind(NAME, *values[kind], artifact)


@pytest.mark.parametrize("content", [None, '{"format": 1, "photos": 3, "fractions": 2, "no such key": 1}'])
def test_a_damaged_file_says_how_to_make_it_again(kind, paths, content):
    """Missing, or of something else."""
    path = paths.on_request_file(NAME, kind.kind)
    path.parent.mkdir()
    if content is not None:
        path.write_text(content)
    with pytest.raises(ResultsError) as raised:
        kind.read(path)
    assert str(path) in str(raised.value)
    assert KINDS[kind].format(run=paths.path) in str(raised.value)


def test_what_was_written_is_current_until_the_model_is_trained_again(kind, paths):
    """A picture of another model's weakness would be believed."""
    assert kind.current(paths, NAME) is None
    written = empty(kind, "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")  # SHA-256 of {}
    written.write_into(paths)
    assert kind.current(paths, NAME) == written
    (paths.artifact(NAME) / "artifact.json").write_text("{ }")
    with pytest.raises(ResultsError) as raised:
        kind.current(paths, NAME)
    assert f"{NAME}_{kind.kind}.json" in str(raised.value)
    assert KINDS[kind].format(run=paths.path) in str(raised.value)
