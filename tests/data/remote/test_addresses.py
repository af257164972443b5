"""Addresses: what they stand for, and that nothing which opens them is shown or recorded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from matlens.errors import SettingsError
from matlens.settings import knobs
from matlens.settings.addresses import address_of, path_or_address
from matlens.settings.knobs import notebook_setting
from matlens.settings.repetition import run_command
from matlens.settings.schema import Settings
from matlens.system import stopping

SECRET = "hunter2-never-shown"
OPENING = f"https://me:{SECRET}@photos.example:8443/a b/list.csv?X-Amz-Signature={SECRET}//x#{SECRET}"


def test_what_opens_an_address_is_neither_shown_nor_recorded():
    """A token in run.json, in a report or in a terminal's log is a token that others have."""
    address = address_of(OPENING)
    assert address.public == "https://photos.example:8443/a b/list.csv"
    assert SECRET in address.opening and "a%20b" in address.opening and f"{SECRET}//x" in address.opening
    settings = Settings.load(options={"data_dir": OPENING})
    recorded = settings.model_dump(mode="json")
    said = [str(address), repr(address), repr(settings), str(recorded), run_command(recorded, "runs/photos")[0]]
    assert not [text for text in said if SECRET in text]
    assert f"--data '{address.public}'" in said[-1]
    assert Settings.recorded(recorded, Path("run.json")).agreed() == settings.agreed()


def test_the_command_that_goes_on_after_a_stop_holds_no_token(monkeypatch):
    """It is printed when a run is interrupted, with all that was typed."""
    monkeypatch.setattr("sys.argv", ["matlens", "run", OPENING.replace(" ", "%20"), f"--data=http://me:{SECRET}@h/l.csv"])
    said = stopping._command(Path("runs/first"))
    assert SECRET not in said
    assert "https://photos.example:8443/a%20b/list.csv" in said and "--data=http://h/l.csv" in said
    for words in (f"https://me:{SECRET}@{SECRET}@h/l.csv", f"https:/me:{SECRET}@h/l.csv?t={SECRET}"):
        monkeypatch.setattr("sys.argv", ["matlens", "run", words])
        assert SECRET not in stopping._command(Path("runs/first"))


@pytest.mark.parametrize("words", [f"s3://AKIA:{SECRET}@bucket/photos", f"gs://x:{SECRET}@bucket", f"https://{SECRET}@:80",
                                   f"https://[{SECRET}", f"ftp://me:{SECRET}@host/photos", f"s3:///{SECRET}"])
def test_an_address_that_is_none_is_refused_without_being_quoted(words):
    for read in (path_or_address, lambda word: Settings.load(options={"data_dir": word}),
                 lambda word: Settings.load(options={"data_address": word})):
        with pytest.raises(SettingsError) as refused:
            read(words)
        assert SECRET not in str(refused.value)


@pytest.mark.parametrize(("words", "public", "kind"), [
    ("s3://bucket/photos/", "s3://bucket/photos", "folder"),
    ("s3:/bucket/what?.jpg", "s3://bucket/what?.jpg", "folder"),
    ("gs://bucket", "gs://bucket", "folder"), ("S3://bucket/List.CSV", "s3://bucket/List.CSV", "manifest"),
    ("https://host/l.parquet?sig=1", "https://host/l.parquet", "manifest"),
    ("s3://bucket/s-{0000..0009}.tar", "s3://bucket/s-{0000..0009}.tar", "shards")])
def test_a_name_says_what_lies_at_an_address(words, public, kind):
    address = address_of(words)
    assert (address.public, address.kind) == (public, kind)


def test_files_of_this_machine_are_addresses_only_where_they_are_no_folder_of_photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photos/wood/1.jpg", "shards/a.tar", "both/a.tar", "both/wood/1.jpg", "folder.csv/x", "list.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    of = {name: address_of(name) for name in ("photos", "shards", "both", "folder.csv", "list.csv", "gone.parquet")}
    assert {name for name, address in of.items() if address is not None} == {"shards", "list.csv", "gone.parquet"}
    assert of["list.csv"].public == str(tmp_path / "list.csv")


def test_a_folder_on_the_command_line_wins_over_an_address_in_a_file(tmp_path):
    file = tmp_path / "m.toml"
    file.write_text('DATA_DIR = "s3://bucket/photos"\n')
    assert str(Settings.load(file).data_address) == "s3://bucket/photos"
    assert Settings.load(file, {"data_dir": tmp_path}).data_address is None
    file.write_text(f'DATA_DIR = "{tmp_path}"\n')
    assert str(Settings.load(file, {"data_dir": "gs://b"}).data_address) == "gs://b"


def test_a_run_opens_when_the_shards_that_it_read_are_gone(tmp_path):
    """Its photos are in the cache; and a node of a cluster need not see the shards."""
    folder = tmp_path / "shards"
    folder.mkdir()
    (folder / "s-0.tar").write_bytes(b"")
    settings = Settings.load(options={"data_dir": str(folder)})
    recorded = settings.model_dump(mode="json")
    shutil.rmtree(folder)
    assert Settings.recorded(recorded, Path("run.json")).data_address == settings.data_address is not None


def test_the_guides_functions_do_not_take_another_folder_for_an_address(tmp_path, monkeypatch):
    """They would train on what lies in the default folder."""
    (tmp_path / "matlens.toml").write_text('DATA_DIR = "s3://bucket/photos"\n')
    monkeypatch.setenv("MATLENS_CONFIG", str(tmp_path / "matlens.toml"))
    for read in (lambda: notebook_setting("data_dir"), lambda: knobs.DATA_DIR, lambda: knobs.NEEDS_SPLIT):
        with pytest.raises(SettingsError, match="s3://bucket/photos"):
            read()
