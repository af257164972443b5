"""Photos in an object store: brought once, followed where they change, refused where they cannot be had."""

from __future__ import annotations

import sys
import urllib.request

import pytest

from matlens.data.prepare import prepare
from matlens.data.remote import bring as bringing
from matlens.data.remote.bring import bring, tell_changes
from matlens.data.remote.look import seen_at
from matlens.data.remote.mirror import Mirror
from matlens.data.remote.objects import ObjectStore
from matlens.data.remote.photos import photos_at
from matlens.errors import CacheError, DataError
from matlens.settings.addresses import address_of
from matlens.settings.schema import Settings
from matlens.system.caches import entries, prune
from matlens.system.ownership.locks import lock_at
from remote_places import HASTE, SECRET, Bucket, Heard, same_photos


@pytest.fixture
def address(bucket: Bucket, photos):
    bucket.fill(photos, "set/photos")
    bucket.put("set/photos/wood/notes.txt", b"no photo")
    return address_of(f"s3://{bucket.name}/set/photos")


def test_photos_are_brought_once_and_what_changes_is_named_and_brought_again(tmp_path, bucket, address, photos, heard):
    root = bring(address, tmp_path, 1, heard, HASTE)
    assert same_photos(root, photos)
    assert "notes.txt" in heard.text and "9 brought now" in heard.text
    again = Heard()
    assert bring(address, tmp_path, 1, again, HASTE) == root
    assert "0 brought now, 9 were here" in again.text
    bucket.put("set/photos/wood/wood 0.png", b"another")
    bucket.client.delete_object(Bucket=bucket.name, Key="set/photos/brick/brick 2.png")
    (root / "metal" / "metal 1.png").write_bytes(b"damaged here")
    (root / "metal" / "stranger.png").write_bytes(b"left over")
    changed = Heard()
    bring(address, tmp_path, 1, changed, HASTE)
    assert all(fact in changed.text for fact in ("wood 0.png", "brick 2.png", "2 brought now, 6 were here"))
    assert (root / "wood" / "wood 0.png").read_bytes() == b"another"
    assert (root / "metal" / "metal 1.png").read_bytes() == (photos / "metal" / "metal 1.png").read_bytes()
    assert not (root / "brick" / "brick 2.png").exists() and not (root / "metal" / "stranger.png").exists()


def test_an_interrupted_copy_goes_on_from_what_has_arrived(tmp_path, address, photos, heard, monkeypatch):
    whole = ObjectStore.bring
    asked: list[str] = []

    def stumbling(self, wanted, to, most, known=""):
        asked.append(wanted.name)
        if len(asked) == 7:
            raise DataError("stopped here")
        return whole(self, wanted, to, most, known)

    monkeypatch.setattr(bringing, "_AT_ONCE", 1)
    monkeypatch.setattr(ObjectStore, "bring", stumbling)
    with pytest.raises(DataError, match="stopped here"):
        bring(address, tmp_path, 1, heard, HASTE)
    before = len(asked)
    root = bring(address, tmp_path, 1, heard, HASTE)
    assert same_photos(root, photos)
    assert set(asked[:6]).isdisjoint(asked[before:]) and len(asked[before:]) == 3


def test_an_object_that_changes_under_ones_hands_is_named(tmp_path, bucket, address, heard):
    store = ObjectStore("s3", HASTE, heard.say)
    [wanted] = [stored for stored in store.below(address.opening) if stored.name == "wood/wood 1.png"]
    bucket.put("set/photos/wood/wood 1.png", b"x" * (wanted.size or 0))
    with pytest.raises(DataError, match=r"wood 1\.png changed while it was read"):
        store.bring(wanted, tmp_path / "photo", 10**6)
    bucket.client.delete_object(Bucket=bucket.name, Key="set/photos/wood/wood 1.png")
    with pytest.raises(DataError, match=r"wood 1\.png changed while it was read"):
        store.bring(wanted, tmp_path / "photo", 10**6)


def test_a_source_that_changes_while_it_is_copied_is_refused(tmp_path, bucket, address, heard, monkeypatch):
    """A change behind the reader's back: no object that is read later differs from what was listed."""
    whole = ObjectStore.bring

    def busy(self, wanted, to, most, known=""):
        arrived = whole(self, wanted, to, most, known)
        if wanted.name == "brick/brick 1.png":
            bucket.put("set/photos/brick/brick 1.png", b"later")
        return arrived

    monkeypatch.setattr(ObjectStore, "bring", busy)
    with pytest.raises(DataError, match=r"1 objects.*brick 1\.png"):
        bring(address, tmp_path, 1, heard, HASTE)


def test_what_changes_during_a_run_is_told_at_its_end(tmp_path, bucket, address, heard):
    settings = Settings.load(options={"data_dir": str(address), "cache_dir": tmp_path})
    bring(address, tmp_path, 1, heard, HASTE)
    tell_changes(settings, heard, HASTE)
    assert "during the run" not in heard.text
    bucket.put("set/photos/wood/wood 2.png", b"later")
    tell_changes(settings, heard, HASTE)
    assert "1 objects" in heard.text and "wood 2.png" in heard.text


def test_what_another_run_uses_is_not_changed(tmp_path, bucket, address, heard):
    root = bring(address, tmp_path, 1, heard, HASTE)
    entry = Mirror.place(address, tmp_path)
    bucket.put("set/photos/wood/wood 2.png", b"later")
    with lock_at(tmp_path / "locks" / f"sources.{entry.name}.0123abcd.used"):
        with pytest.raises(CacheError, match=r"wood 2\.png.*another run"):
            bring(address, tmp_path, 1, heard, HASTE)
        assert (root / "wood" / "wood 2.png").read_bytes() != b"later"
    bring(address, tmp_path, 1, heard, HASTE)
    assert (root / "wood" / "wood 2.png").read_bytes() == b"later"


def test_the_copy_is_an_entry_of_the_cache_that_makes_room(tmp_path, address, heard):
    bring(address, tmp_path, 1, heard, HASTE)
    [entry] = [entry for entry in entries(tmp_path) if entry.kind == "sources"]
    assert "9 photos" in entry.what and str(address) in entry.what and entry.size > 0
    assert prune(tmp_path, 0).left > 0, "this process uses it"


def test_more_than_the_cache_may_hold_is_refused_with_the_number_before_anything_is_read(tmp_path, bucket, heard):
    bucket.put("photos/wood/1.png", bytes(3 * 10**6))
    bucket.put("photos/brick/1.png", bytes(3 * 10**6))
    with pytest.raises(DataError, match=r"0\.006 GB.*0\.005 GB.*--cache-limit 0\.1"):
        bring(address_of(f"s3://{bucket.name}/photos"), tmp_path, 0.005, heard, HASTE)
    assert not list(tmp_path.rglob("*.png"))


def test_a_split_is_that_of_the_same_photos_in_a_folder(tmp_path, address, photos, heard):
    of = {"img_size": 32, "models": "mobilenetv2_transfer", "cache_dir": tmp_path / "cache", "cache_limit": 1}
    there = prepare(Settings.load(options={**of, "data_dir": str(address)}), heard)
    here = prepare(Settings.load(options={**of, "data_dir": photos}), heard)
    assert there.split.hash == here.split.hash and there.split.photos == here.split.photos


@pytest.mark.parametrize(("place", "facts"), [
    ("s3://no-such-bucket-here/photos", ["no such bucket"]), ("s3://{}/set/phtos", ["set/phtos", "set/photos?"]),
    ("s3://{}/set/photos/wood/list.csv", ["list.csv"]), ("s3://{}/empty", ["empty", "set"])])
def test_what_is_not_there_is_named_with_what_may_be_meant(tmp_path, bucket, address, heard, place, facts):
    with pytest.raises(DataError) as refused:
        bring(address_of(place.format(bucket.name)), tmp_path, 1, heard, HASTE)
    assert all(fact in str(refused.value) for fact in facts)


@pytest.fixture
def checked(bucket: Bucket):
    """The store checks who asks."""
    def set_free(number: str) -> None:
        urllib.request.urlopen(urllib.request.Request(
            f"{bucket.endpoint}/moto-api/reset-auth", number.encode(), {"Content-Type": "text/plain"})).close()

    set_free("0")
    yield
    set_free("inf")


def test_credentials_that_are_wrong_or_missing_are_told_and_never_shown(tmp_path, address, heard, checked, monkeypatch):
    with pytest.raises(DataError, match=r"access key is not known.*AWS_ACCESS_KEY_ID") as wrong:
        bring(address, tmp_path, 1, heard, HASTE)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(DataError, match="credentials is missing") as half:
        bring(address, tmp_path, 1, heard, HASTE)
    said = [heard.text, *(str(error.value) for error in (wrong, half))]
    assert not [text for text in said if SECRET in text or "AKIATESTING" in text]


def test_a_store_that_lets_anybody_read_needs_no_credentials(tmp_path, bucket, address, photos, heard, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(DataError, match=r"no credentials were found.*AWS_ACCESS_KEY_ID"):
        bring(address, tmp_path, 1, heard, HASTE)
    for file in photos.rglob("*.png"):
        bucket.client.put_object_acl(Bucket=bucket.name, ACL="public-read",
                                     Key=f"set/photos/{file.relative_to(photos).as_posix()}")
    assert same_photos(bring(address, tmp_path, 1, heard, HASTE), photos)


def test_tar_shards_and_manifests_are_read_from_a_store_too(tmp_path, bucket, address, photos, heard):
    from test_tar_shards import samples, shard

    shard(tmp_path / "s-0.tar", *samples(photos, ["brick", "metal"]))
    shard(tmp_path / "s-1.tar", *samples(photos, ["wood"]))
    for name in ("s-0.tar", "s-1.tar"):
        bucket.put(f"shards/{name}", (tmp_path / name).read_bytes())
    rows = "".join(f"{file.parent.name}/{file.name},{file.parent.name}\n" for file in photos.rglob("*.png"))
    bucket.put("set/photos/l.csv", f"path,label\n{rows}".encode())
    bucket.put("elsewhere/l.csv", "path,label\n{}".format("".join(
        f"{address}/{line}\n" for line in rows.splitlines())).encode())
    for place in ("shards", "shards/s-{0..1}.tar", "set/photos/l.csv"):
        root = bring(address_of(f"s3://{bucket.name}/{place}"), tmp_path / "cache", 1, heard, HASTE)
        assert same_photos(root, photos)
    root = bring(address_of(f"s3://{bucket.name}/elsewhere/l.csv"), tmp_path / "cache", 1, heard, HASTE)
    assert sorted(file.read_bytes() for file in root.rglob("*.png")) == sorted(
        file.read_bytes() for file in photos.rglob("*.png"))
    assert "3 classes, 9 photos" in seen_at(address_of(f"s3://{bucket.name}/set/photos/l.csv"), heard.say, HASTE)


def test_single_photos_are_read_for_a_prediction(bucket, address, photos, heard):
    [one] = photos_at(address_of(f"{address}/wood/wood 1.png"), heard.say)
    assert one.content() == (photos / "wood" / "wood 1.png").read_bytes()
    assert [str(photo).rpartition("/")[2] for photo in photos_at(address_of(f"{address}/wood"), heard.say)] == [
        "wood 0.png", "wood 1.png", "wood 2.png"]
    assert isinstance(photos_at(address_of(f"s3://{bucket.name}/set/photos/l.csv"), heard.say), str)


@pytest.mark.parametrize(("scheme", "package", "extra"), [("s3", "s3fs", "cloud"), ("gs", "gcsfs", "gcs"),
                                                          ("https", "aiohttp", "cloud")])
def test_a_package_that_is_not_installed_is_named_with_its_extra(tmp_path, heard, monkeypatch, scheme, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=rf"{package}.*pip install 'matlens\[{extra}\]'"):
        bring(address_of(f"{scheme}://bucket/photos"), tmp_path, 1, heard, HASTE)
