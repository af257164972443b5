"""Runs on photos in an object store: cold, resumed, on a source that changed, and on the same photos in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matlens.evaluation.results import Results
from matlens.jobs.rerun import NOT_REPEATED
from processes import Cli
from remote_places import SECRET, Bucket

ASKED = ("--models", "inception_v1", "--weights", "none", "--epochs", 1, "--img-size", 48, "--batch-size", 64,
         "--deterministic")


def figures(run: Path) -> dict:
    """All results of a run but times."""
    whole = Results.read(run / "reports" / "inception_v1_results.json").to_json()
    return {key: value for key, value in whole.items() if key not in NOT_REPEATED}


@pytest.mark.slow
def test_a_run_on_a_bucket_is_that_on_a_folder_and_goes_on_with_the_same_source_alone(tmp_path, bucket: Bucket, drawn,
                                                                                      cli: Cli):
    bucket.fill(drawn, "photos")
    address = f"s3://{bucket.name}/photos"
    for place, out in ((address, "there"), (drawn, "here")):
        done = cli("run", "--data", place, *ASKED, "--out", tmp_path / out)
        assert done.returncode == 0, done.stderr
    assert figures(tmp_path / "there") == figures(tmp_path / "here")
    recorded = json.loads((tmp_path / "there" / "run.json").read_text())
    assert recorded["settings"]["data_address"] == address
    files = [file for file in (tmp_path / "there").rglob("*") if file.is_file()]
    assert not [file for file in files if SECRET.encode() in file.read_bytes()]
    model = tmp_path / "there" / "models" / "inception_v1.pth"
    before = model.stat().st_mtime_ns

    again = cli("run", address, *ASKED, "--out", tmp_path / "there", "--cache-dir", tmp_path / "another cache")
    assert again.returncode == 0, again.stderr
    assert model.stat().st_mtime_ns == before and "49 brought now" in again.stdout + again.stderr

    bucket.fill(drawn, "copy")
    elsewhere = cli("run", f"s3://{bucket.name}/copy", *ASKED, "--out", tmp_path / "there")
    assert elsewhere.returncode == 2 and address in elsewhere.stderr

    [photo, *_] = sorted((drawn / "wood").iterdir())
    bucket.put(f"photos/wood/{photo.name}", (drawn / "sky" / "sky_000001.jpg").read_bytes())
    changed = cli("run", address, *ASKED, "--out", tmp_path / "there")
    assert changed.returncode == 2
    assert photo.name in changed.stderr and "split.json differs" in " ".join(changed.stderr.split())

    told = cli("predict", tmp_path / "there", f"{address}/sky")
    assert told.returncode == 0 and len(told.stdout.splitlines()) == 12
    assert f"{address}/sky/sky_000001.jpg" in told.stdout
