"""Photos on a web server that fails now and then: what passes is tried again, what opens it is never shown."""

from __future__ import annotations

import pytest

from matlens.data.remote.bring import bring, tell_changes
from matlens.errors import DataError
from matlens.settings.addresses import address_of
from matlens.settings.schema import Settings
from remote_places import HASTE, SECRET, Heard, Web, same_photos


@pytest.fixture
def manifest(web: Web, photos) -> str:
    """The address of a manifest of all photos, with a token."""
    web.fill(photos, "a b/photos")
    rows = "".join(f"{file.parent.name}/{file.name},{file.parent.name}\n" for file in sorted(photos.rglob("*.png")))
    web.files["/a b/photos/list.csv"] = f"path,label\n{rows}".encode()
    return f"{web.address}/a b/photos/list.csv"


def test_a_server_that_fails_now_and_then_gives_the_photos_of_a_folder(tmp_path, web, manifest, photos, heard):
    web.failing = {"/a b/photos/list.csv": [503], "/a b/photos/wood/wood 0.png": ["reset", 502],
                   "/a b/photos/brick/brick 1.png": ["cut", "cut", 429], "/a b/photos/metal/metal 2.png": [500]}
    root = bring(address_of(manifest), tmp_path, 1, heard, HASTE)
    assert same_photos(root, photos)
    for fact in ("list.csv: the server answers 503", "502 Bad Gateway", "429 Too Many Requests", "ended in the middle",
                 "500 Internal Server Error"):
        assert fact in heard.text
    assert sum("trying again" in line for line in heard.lines) in (6, 7)  # aiohttp repeats one on a used connection


def test_photos_that_are_here_are_asked_for_and_not_sent_again(tmp_path, web, manifest, heard):
    root = bring(address_of(manifest), tmp_path, 1, heard, HASTE)
    web.asked.clear()
    web.files["/a b/photos/wood/wood 1.png"] = b"another"
    again = Heard()
    bring(address_of(manifest), tmp_path, 1, again, HASTE)
    answers = sorted(status for path, status in web.asked if path.endswith(".png"))
    assert answers == [200] + [304] * 8
    assert (root / "wood" / "wood 1.png").read_bytes() == b"another" and "wood%201.png" in again.text
    settings = Settings.load(options={"data_dir": manifest, "cache_dir": tmp_path})
    web.files["/a b/photos/brick/brick 0.png"] = b"later"
    tell_changes(settings, again, HASTE)
    assert "during the run" in again.text and "brick%200.png" in again.text


@pytest.mark.parametrize(("fault", "fact"), [(503, "503 Service Unavailable"), ("cut", "ended in the middle"),
                                             ("reset", "closed the connection")])
def test_a_server_that_always_fails_ends_the_command_after_some_tries(tmp_path, web, manifest, heard, fault, fact):
    web.failing = {"/a b/photos/wood/wood 0.png": [fault] * 50}
    with pytest.raises(DataError) as refused:
        bring(address_of(manifest), tmp_path, 1, heard, HASTE)
    assert all(words in str(refused.value) for words in (fact, "4 tries", "wood%200.png", "goes on"))
    web.failing = {}
    later = Heard()
    bring(address_of(manifest), tmp_path, 1, later, HASTE)
    assert "brought now" in later.text


def test_a_photo_that_is_not_there_is_not_tried_again(tmp_path, web, manifest, heard):
    del web.files["/a b/photos/wood/wood 0.png"]
    with pytest.raises(DataError, match=r"wood%200\.png.*404 Not Found"):
        bring(address_of(manifest), tmp_path, 1, heard, HASTE)
    assert not any("trying again" in line for line in heard.lines)


@pytest.mark.parametrize("opening", ["{0}?sig=" + SECRET, "user:" + SECRET])
def test_a_token_opens_and_is_never_shown_or_kept(tmp_path, web, manifest, photos, heard, opening):
    """Not in lines, not in errors, and not in a file of the cache."""
    web.needs_token = True
    with pytest.raises(DataError, match="401 Unauthorized"):
        bring(address_of(manifest), tmp_path, 1, heard, HASTE)
    in_query = "?" in opening
    rows = "".join(f"{file.parent.name}/{file.name}{'?sig=' + SECRET if in_query else ''},{file.parent.name}\n"
                   for file in sorted(photos.rglob("*.png")))
    if in_query:
        base = manifest.rpartition("/")[0]
        rows = "".join(f"{base}/{line}\n" for line in rows.splitlines())
    web.files["/a b/photos/list.csv"] = f"path,label\n{rows}".encode()
    words = opening.format(manifest) if in_query else manifest.replace("http://", f"http://{opening}@")
    web.failing = {"/a b/photos/wood/wood 0.png": [503] * 9}
    with pytest.raises(DataError) as refused:
        bring(address_of(words), tmp_path, 1, heard, HASTE)
    web.failing = {}
    root = bring(address_of(words), tmp_path, 1, heard, HASTE)
    assert same_photos(root, photos)
    assert SECRET not in heard.text + str(refused.value)
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]


def test_an_index_page_that_lists_folders_is_followed(tmp_path, web, photos, heard):
    web.fill(photos, "index/photos")
    assert same_photos(bring(address_of(f"{web.address}/index/photos"), tmp_path, 1, heard, HASTE), photos)


def test_a_server_that_sends_more_than_the_cache_may_hold_is_stopped(tmp_path, web, manifest, heard):
    web.files["/a b/photos/wood/wood 0.png"] = bytes(3 * 10**6)
    with pytest.raises(DataError, match=r"wood%200\.png.*--cache-limit"):
        bring(address_of(manifest), tmp_path, 0.002, heard, HASTE)


def test_pages_beyond_those_that_are_followed_are_no_photos_that_are_missing(tmp_path, web, photos, heard, monkeypatch):
    """Half of a dataset would train as well as the whole one."""
    web.fill(photos, "index/photos")
    monkeypatch.setattr("matlens.data.remote.web._MOST_PAGES", 3)
    with pytest.raises(DataError, match="index pages"):
        bring(address_of(f"{web.address}/index/photos"), tmp_path, 1, heard, HASTE)
