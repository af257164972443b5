"""Manifests: which columns they need, what their rows may say, and where photos go."""

from __future__ import annotations

import pytest

from matlens.data.remote.bring import bring
from matlens.data.remote.manifest import read_manifest
from matlens.errors import DataError
from matlens.settings.addresses import address_of
from remote_places import HASTE, Heard, same_photos


def rows_of(photos, prefix=""):
    files = sorted(photos.rglob("*.png"))
    return [(f"{prefix}{file.relative_to(photos).as_posix()}", file.parent.name) for file in files]


def csv_of(rows, head="path,label"):
    return "\n".join([head, *(",".join(row) for row in rows)]) + "\n"


def test_a_manifest_gives_photos_the_names_that_class_folders_have(tmp_path, photos, heard):
    manifest = tmp_path / "photos" / "list.csv"
    manifest.parent.mkdir()
    for file in photos.rglob("*.png"):
        (manifest.parent / file.parent.name).mkdir(exist_ok=True)
        (manifest.parent / file.parent.name / file.name).write_bytes(file.read_bytes())
    manifest.write_text(csv_of([(*row, "x") for row in rows_of(photos)], "Path,label,camera"))
    root = bring(address_of(str(manifest)), tmp_path / "cache", 1, heard, HASTE)
    assert same_photos(root, photos)
    assert "camera" in heard.text
    (manifest.parent / "wood" / "wood 1.png").unlink()  # the copy may be another name of the same file
    (manifest.parent / "wood" / "wood 1.png").write_bytes(b"another")
    again = Heard()
    bring(address_of(str(manifest)), tmp_path / "cache", 1, again, HASTE)
    assert (root / "wood" / "wood 1.png").read_bytes() == b"another" and "wood 1.png" in again.text
    assert "1 brought now, 8 were here" in again.text


def test_parquet_says_what_csv_says(tmp_path, photos):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed (pip install 'matlens[cloud]')")
    from pyarrow import parquet

    rows = rows_of(photos)
    (tmp_path / "l.csv").write_text(csv_of(rows))
    parquet.write_table(pyarrow.table({"taken": [1.5] * 9, "label": pyarrow.array([label for _, label in rows]
                                                                                  ).dictionary_encode(),
                                       "path": [path for path, _ in rows]}), tmp_path / "l.parquet")
    of_csv, of_parquet = (read_manifest(tmp_path / name, address_of(str(tmp_path / name)))
                          for name in ("l.csv", "l.parquet"))
    assert of_csv.rows == of_parquet.rows and len(of_csv.rows) == 9
    assert of_parquet.unused == ("taken",)


@pytest.mark.parametrize(("head", "facts"), [
    ("image,lable", ["path", "label", "Rename image to path", "Rename lable to label"]),
    ("path,category", ["label", "Rename category to label"]), ("a,b", ["a, b", "path,label"]),
    ("path,label,label", ["several columns label"])])
def test_wrong_columns_are_named_with_those_that_may_be_meant(tmp_path, head, facts):
    (tmp_path / "l.csv").write_text(f"{head}\n")
    with pytest.raises(DataError) as refused:
        read_manifest(tmp_path / "l.csv", address_of("s3://bucket/l.csv"))
    assert all(fact in str(refused.value) for fact in ["s3://bucket/l.csv", *facts])


@pytest.mark.parametrize("row", ["../x.jpg,wood", "/etc/x.jpg,wood", "a//x.jpg,wood", "x.jpg,", ",wood", "x.jpg,a/b",
                                 "x.jpg,..", "x.jpg,.hidden", "file:///etc/x.jpg,wood", "https://host/x.jpg,wood",
                                 "C:/x.jpg,wood", "x.jpg,wood,more"])
def test_a_row_that_leads_elsewhere_or_names_no_class_is_refused_by_its_number(tmp_path, row):
    """A stranger's manifest must not make matlens read other files, or write outside of its folder."""
    (tmp_path / "l.csv").write_text(f"path,label\nwood/1.jpg,wood\n{row}\n")
    with pytest.raises(DataError, match="row 2"):
        read_manifest(tmp_path / "l.csv", address_of("s3://bucket/l.csv"))


@pytest.mark.parametrize("content", [b"\x00\xff\xfe", b"PAR1 no table PAR1", b"", "path,label\nä".encode("latin-1")])
@pytest.mark.parametrize("name", ["l.csv", "l.parquet"])
def test_a_manifest_that_is_none_is_refused(tmp_path, name, content):
    if name == "l.parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed (pip install 'matlens[cloud]')")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"s3://bucket/{name}"):
        read_manifest(tmp_path / name, address_of(f"s3://bucket/{name}"))


def test_photos_that_are_missing_or_named_twice_are_told(tmp_path, photos, heard):
    (tmp_path / "wood").mkdir()
    (tmp_path / "wood" / "1.png").write_bytes(b"x")
    manifest = tmp_path / "l.csv"
    for rows, fact in (([("wood/1.png", "wood"), ("wood/2.png", "wood")], "wood/2.png"),
                       ([("wood/1.png", "wood"), ("1.png", "wood")], "rows 1 and 2"),
                       ([("wood/1.txt", "wood")], "wood/1.txt")):
        manifest.write_text(csv_of(rows))
        with pytest.raises(DataError, match=fact):
            bring(address_of(str(manifest)), tmp_path / "cache", 1, heard, HASTE)
