"""Trees of datasets, made at random: what each holds is known, so whatever is read wrongly or passed over shows."""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from matlens.data.audit.audit import audit
from matlens.data.prepare import prepare
from matlens.data.source.counts import count_by_part
from matlens.data.source.find import find_sources
from matlens.data.source.sources import Source, open_source
from matlens.notebook.prepared import create_split
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from scale import rounds

CLASSES = ("brick", "wood", "Glaß", "a b", "béton", "10", "train station", "test tube", "石", "x" * 60, "it's <b>")
INSIDE = ("", "", "", "a", "b/c", "2019", "scene 1", "ä" * 40)
ENDINGS = (".jpg", ".JPG", ".jpeg", ".jfif", ".png", ".webp", ".Tiff", ".bmp", ".gif")
PART_NAMES = (
    ("train", "val", "test"), ("Training", "Validation", "Testing"), ("seg_train", "seg_val", "seg_test"),
    ("Train_set", "valid_set", "TEST_SET"), ("training_data", "validation_set", "test_images"), ("trn", "dev", "tst"),
    ("train2017", "val2017", "test2017"), ("trainset", "validate", "testset"), ("x-train", "x-valid", "x-test"))
PARTS = ("train", "val", "test")


@dataclass
class Tree:
    """A dataset on disk, and what is known of it.

    photos: of each (part, class) the number. unused: the paths that must be named, relative to root, by their kind.
    others: files in class folders that are no photos. closed: folders that cannot be listed.
    """

    top: Path
    root: Path
    photos: Counter[tuple[str | None, str]] = field(default_factory=Counter)
    unused: dict[str, set[str]] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)

    def put(self, path: str) -> str:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.encode())
        return path

    def name(self, kind: str, path: str) -> None:
        self.unused.setdefault(kind, set()).add(path)


@dataclass(frozen=True)
class Plan:
    """How a dataset is laid out, and what else lies in it.

    parts: which of the three there are. inner: a folder around the class folders of each part. numbers, insides,
    endings: of the photos of the first class folder, the second ... extras: each with the number of a class folder.
    """

    layout: str
    names: list[str]
    wrappers: list[str]
    part_names: tuple[str, str, str]
    parts: tuple[int, ...]
    inner: str
    numbers: list[int]
    insides: list[str]
    endings: list[str]
    extras: list[tuple[str, int]]

    def folders(self) -> Iterator[tuple[str, str | None, str]]:
        """Give the path, the part and the class of each class folder."""
        for name in self.names:
            if self.layout in ("folders", "minc"):
                yield f"images/{name}" if self.layout == "minc" else name, None, name
                continue
            for part in self.parts:
                written = self.part_names[part]
                around = f"{written}/{written if self.inner == 'same' else self.inner}".rstrip("/")
                yield f"{around}/{name}" if self.layout == "parts" else f"{name}/{written}", PARTS[part], name

    def make(self, top: Path) -> Tree:
        """Make the dataset in a folder."""
        tree = Tree(top, top.joinpath(*self.wrappers))
        tree.root.mkdir(parents=True)
        folders = list(self.folders())
        for place, (folder, part, name) in enumerate(folders):
            inside = "" if self.layout == "class first" else self.insides[place % 12]
            for number in range(self.numbers[place % 12]):
                ending = self.endings[(place + number) % 12]
                tree.put("/".join(filter(None, (folder, inside, f"p{number}{ending}"))))
                tree.photos[part, name] += 1
        if self.layout == "minc":
            for listing in ("train", "validate", "test"):
                tree.put(f"labels/{listing}1.txt")
        for made, which in self.extras:
            EXTRAS[made](tree, *folders[which % len(folders)], which, self.layout)
        return tree


EXTRAS: dict[str, Callable[[Tree, str, str | None, str, int, str], None]] = {}


def extra(make: Callable[[Tree, str, str | None, str, int, str], None]) -> None:
    """Register what may lie in a dataset beside its photos."""
    EXTRAS[make.__name__] = make


@extra
def hidden_photo(tree, folder, part, name, which, layout):
    hidden = ("._p.jpg", ".ipynb_checkpoints/p-checkpoint.jpg", "__MACOSX/p.png", "@eaDir/p.jpg/S.jpg",
              ".p.heic")[which % 5]
    tree.put(f"{folder}/{hidden}")
    if not hidden.endswith("heic"):
        tree.name("hidden", f"{folder}/{hidden}")


@extra
def system_files(tree, folder, part, name, which, layout):
    for path in (f"{folder}/.DS_Store", f"{folder}/Thumbs.db", "desktop.ini", ".ipynb_checkpoints/x.json"):
        tree.put(path)


@extra
def other_file(tree, folder, part, name, which, layout):
    tree.others.add(tree.put(f"{folder}/notes{which}.txt"))


@extra
def phone_picture(tree, folder, part, name, which, layout):
    tree.name("format", tree.put(f"{folder}/phone{which}.HEIC"))


@extra
def linked_folder(tree, folder, part, name, which, layout):
    elsewhere = tree.top.parent / f"disk2-{which}"
    elsewhere.mkdir(exist_ok=True)
    for number in range(3):
        (elsewhere / f"{number}.jpg").write_bytes(b"linked")
    (tree.root / folder / f"more{which}").symlink_to(elsewhere)
    tree.photos[part, name] += 3


@extra
def link_to_a_photo(tree, folder, part, name, which, layout):
    target = tree.top.parent / f"single-{which}.jpg"
    target.write_bytes(b"single")
    (tree.root / folder / f"link{which}.jpg").symlink_to(target)
    tree.photos[part, name] += 1


@extra
def circle(tree, folder, part, name, which, layout):
    (tree.root / folder / f"up{which}").symlink_to((tree.root, tree.top.parent, (tree.root / folder))[which % 3])
    tree.name("twice" if which % 3 == 2 else "circle", f"{folder}/up{which}")


@extra
def lost_link(tree, folder, part, name, which, layout):
    (tree.root / folder / f"lost{which}").symlink_to(tree.top / "unplugged")
    tree.name("nowhere", f"{folder}/lost{which}")


@extra
def pipe(tree, folder, part, name, which, layout):
    os.mkfifo(tree.root / folder / f"pipe{which}.jpg")
    tree.name("special", f"{folder}/pipe{which}.jpg")


@extra
def loose_photo(tree, folder, part, name, which, layout):
    if "loose" in tree.unused:  # most photos of a class or a dataset lie where they belong
        return
    above = {"minc": "images", "parts": folder.split("/")[0], "class first": name}.get(layout, "")
    tree.name("loose", tree.put(f"{above}/loose{which}.jpg".lstrip("/")))


@extra
def folder_beside(tree, folder, part, name, which, layout):
    if layout in ("parts", "minc"):
        tree.name("outside", tree.put("unlabelled/deep/1.jpg"))


@extra
def documents(tree, folder, part, name, which, layout):
    tree.put("meta/about.csv")
    if layout == "folders":
        tree.name("no class", "meta")


@extra
def own_run(tree, folder, part, name, which, layout):
    tree.put("runs/first/reports/gradcam.png")
    (tree.root / "runs/first/run.json").write_text(json.dumps({"format": 1, "settings": {}, "models": []}))
    tree.name("run", "runs")


@extra
def run_in_a_class(tree, folder, part, name, which, layout):
    tree.put(f"{folder}/result{which}/reports/gradcam.png")
    (tree.root / f"{folder}/result{which}/run.json").write_text(json.dumps({"format": 1, "settings": {}, "models": []}))
    tree.name("run", f"{folder}/result{which}")


@extra
def closed_folder(tree, folder, part, name, which, layout):
    tree.put(f"{folder}/locked{which}/1.jpg")
    tree.closed.add(str(tree.root / folder / f"locked{which}"))
    tree.name("folder", f"{folder}/locked{which}")


def twelve(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(strategy, min_size=12, max_size=12)


PLANS = st.builds(
    Plan, st.sampled_from(("folders", "parts", "parts", "class first", "minc")),
    st.lists(st.sampled_from(CLASSES), min_size=2, max_size=4, unique=True),
    st.lists(st.sampled_from(("archive", "my data", "v1")), max_size=2), st.sampled_from(PART_NAMES),
    st.sampled_from(((0, 1, 2), (0, 2), (0, 1))), st.sampled_from(("", "", "same", "images")),
    twelve(st.integers(1, 4)), twelve(st.sampled_from(INSIDE)), twelve(st.sampled_from(ENDINGS)),
    st.lists(st.tuples(st.sampled_from(sorted(EXTRAS)), st.integers(0, 11)), max_size=5, unique=True))


@contextmanager
def permissions(tree: Tree) -> Iterator[None]:
    """Refuse to list the closed folders, also to root, whom the permissions of the file system do not bind."""
    scandir = os.scandir

    def refuse(folder: str) -> object:
        if str(folder) in tree.closed:
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    with mock.patch("os.scandir", refuse):
        yield


def found_in(source: Source) -> Counter[tuple[str | None, str]]:
    return Counter((photo.part, photo.class_name) for photo in source.photos)


def unaccounted(tree: Tree, source: Source) -> set[str]:
    """The files with a photo's ending that are neither read nor named as left out, nor in a folder that is."""
    told = {photo.path for photo in source.photos} | {unused.path for unused in source.unused}
    files = {Path(place, name).relative_to(tree.root).as_posix() for place, _, names in os.walk(tree.root)
             for name in names if name.lower().endswith((*(ending.lower() for ending in ENDINGS), ".HEIC"))}
    return {path for path in files if not any(path == words or path.startswith(f"{words}/") for words in told)}


@pytest.mark.attacks
@settings(max_examples=rounds(40, 2000), deadline=None, derandomize=True, database=None,
          suppress_health_check=list(HealthCheck))
@given(PLANS)
def test_every_photo_of_a_tree_is_read_or_named_and_every_listing_is_the_same(plan):
    """A photo that is passed over in silence is a figure that is wrong in silence."""
    with tempfile.TemporaryDirectory() as place:
        tree = plan.make(Path(place, "top"))
        with permissions(tree):
            source = open_source(tree.top)
            assert (source.root, found_in(source)) == (tree.root, tree.photos)
            named = {kind: {unused.path for unused in source.unused if unused.kind == kind}
                     for kind in {unused.kind for unused in source.unused}}
            assert (named, set(source.others)) == (tree.unused, tree.others)
            assert unaccounted(tree, source) == set()
            assert len({photo.path for photo in source.photos}) == len(source.photos)
            assert all((source.root / photo.path).is_file() for photo in source.photos)
            assert [found for found in find_sources([tree.top]) if found.root == tree.root] == [source]
            if source.layout != "minc":
                assert sum(n for part in count_by_part(source).values() for n in part.values()) == tree.photos.total()


def drawn_photo(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((32, 32), 20 + number).convert("RGB").save(path)


@pytest.mark.parametrize("form", ["{name}/{part}-{n}.png", "{name}/box {n}/{part}.png", "{part}_Data/{name}/{n}.png",
                                  "seg_{part}/seg_{part}/{name}/{n}.png", "{name}/{part}/{n}.png"])
def test_every_command_sees_the_same_photos(tmp_path, form):
    """counts, find, audit, split and run must speak of one dataset; links, hidden files and runs are in it."""
    for position, part in enumerate(("train", "val", "test")):
        for offset, name in enumerate(("brick", "wood")):
            for n in range(3):
                drawn_photo(tmp_path / "photos" / form.format(name=name, part=part, n=n), position * 6 + offset * 3 + n)
    source = open_source(tmp_path / "photos")
    first = (source.root / source.photos[0].path).parent
    (tmp_path / "disk2").mkdir()
    drawn_photo(tmp_path / "disk2" / "further.png", 90)
    (first / "more").symlink_to(tmp_path / "disk2")
    (first / "._hidden.png").write_bytes(b"x")
    (first / ".DS_Store").write_bytes(b"x")
    os.mkfifo(first / "pipe.png")
    (tmp_path / "photos" / "runs" / "a" / "reports").mkdir(parents=True)
    drawn_photo(tmp_path / "photos" / "runs" / "a" / "reports" / "gradcam.png", 91)
    source = open_source(tmp_path / "photos")
    assert len(source.photos) == 19 and source.class_names == ("brick", "wood")
    assert find_sources([tmp_path / "photos"]) == [source]
    assert audit(source).photos == 19
    assert not [finding for finding in audit(source).findings if finding.kind == "unreadable"]
    assert len(create_split(tmp_path / "photos", tmp_path / "out").photos) == 19
    settings = Settings.load(options={"data_dir": tmp_path / "photos", "img_size": (32, 32),
                                      "cache_dir": tmp_path / "cache"})
    assert len(prepare(settings, Reporter(quiet=True)).split.photos) == 19
