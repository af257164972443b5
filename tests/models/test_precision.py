"""What is trained in, by processor; how many cores there are; what is recorded of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from matlens.errors import DeviceError, SettingsError
from matlens.models.precision import choose_precision
from matlens.settings.schema import Settings
from matlens.system import devices as cores
from matlens.training.history import Epoch, History
from matlens.training.record import training_record
from matlens.types import Scores

P100, T4, A100 = (6, 0), (7, 5), (8, 0)


@pytest.mark.parametrize(("wish", "capability", "chosen"), [
    ("auto", None, "float32"), ("auto", P100, "float32"), ("auto", T4, "float16"), ("auto", A100, "bfloat16"),
    ("float32", A100, "float32"), ("bfloat16", None, "bfloat16"), ("float16", P100, "float16")])
def test_auto_is_what_the_processor_has(wish, capability, chosen):
    """A type that the hardware only imitates would be slower than float32."""
    assert choose_precision(wish, capability) == chosen


@pytest.mark.parametrize(("wish", "capability", "way_out"), [
    ("float16", None, "--precision float32"), ("bfloat16", T4, "--precision auto")])
def test_what_the_processor_cannot_is_refused_with_a_way_out(wish, capability, way_out):
    """Else the user waits for hours, or reads an error of a convolution."""
    with pytest.raises(DeviceError, match=way_out):
        choose_precision(wish, capability)


def test_an_unknown_precision_is_refused_with_the_known_ones():
    """A typing error must not train in something else."""
    known = r"precision must be 'auto', 'float32', 'bfloat16' or 'float16' \(got 'fp16'\)"
    with pytest.raises(SettingsError, match=known):
        Settings.load(options={"precision": "fp16"})


@pytest.mark.parametrize(("files", "expected"), [
    ({"cpu.max": "250000 100000"}, 2), ({"cpu.max": "50000 100000"}, 1), ({"cpu.max": "max 100000"}, 8),
    ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
    ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8), ({"cpu.max": "9900000 100000"}, 8),
    ({}, 8)])
def test_cores_are_the_affinitys_less_a_containers_quota(tmp_path, monkeypatch, files, expected):
    """Eight threads on a quota of two cores wait for each other at the end of every layer."""
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    assert cores.usable_cores(tmp_path) == expected


@pytest.mark.parametrize(("precision", "remarks"), [
    ("float32", ["untrained"]), ("bfloat16", ["untrained", "trained in mixed precision (bfloat16)"])])
def test_the_record_tells_the_precision_and_remarks_on_a_mixed_one(precision, remarks):
    """Two results may differ by it alone."""
    history = History([Epoch(1, Scores(1.0, 0.5), Scores(1.0, 0.5), 0.1, 1.0, 10.0)])
    record = training_record("vgg19_scratch", history, SimpleNamespace(hash="h"), SimpleNamespace(parity=0.0), {},
                             parameters=(1, 1), weights_file=None, remarks=("untrained",), versions={},
                             arithmetic=precision)
    assert (record["arithmetic"], record["remarks"]) == (precision, remarks)
