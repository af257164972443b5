"""Refuse or doubt folders that pass for classes and are none: parts, whole datasets, masks of photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath

from matlens.data.layout.listing import below, holds_photos, stem_of
from matlens.data.layout.naming import ClassFolder
from matlens.data.layout.parts import FILLERS, part_named, words_of
from matlens.data.layout.walk import Folder
from matlens.errors import DataError
from matlens.system.console import shell_word

PICTURES = {"images", "image", "imgs", "img", "photos", "jpegimages"}
MARKS = {"labels", "label", "annotations", "annotation", "masks", "mask", "bboxes", "segmentationclass",
         "ground_truth", "groundtruth", "gt"}

_MASKED = ("_mask", "-mask", " mask", "_seg", "-seg", "_segmentation", "_gt", "_label")
"""How the stem of a mask ends that lies beside its photo: 1.png and 1_mask.png, or 1_mask_2.png."""

_COLLECTIONS = {"fold", "folds", "dataset", "datasets", "set", "sets", "split", "splits", "version", "copy", "backup",
                "original", "originals", "resized", "augmented", "augmentation", "aug", "cropped"}
"""Words for a whole dataset or an edition of one. Folders of class folders that are called so are no classes."""


def unwrapped(folder: Folder) -> Folder:
    """Return the first folder, of those around which lies but one folder each, that holds class folders or photos."""
    while len(folder.content.folders) == 1 and not folder.content.photos:
        (inner,) = folder.content.folders
        if inner.linked or not inner.content.folders:
            break
        folder = inner
    return folder


def holds_classes(folder: Folder) -> bool:
    """Return whether a folder holds classes rather than being one: nearly all of its photos lie in subfolders."""
    direct = len(folder.content.photos)
    inner = sum(len(place.content.photos) for place, _ in below(folder, [])) - direct
    return not direct or (inner > direct and sum(map(holds_photos, folder.content.folders)) > 1)


def refuse_parts_and_datasets(place: Folder, holders: Sequence[Folder]) -> None:
    """Raise DataError if a folder of photos is a part or a dataset by its subfolders, and no class.

    Args:
        holders: the folders in `place` that hold photos, and would be classes.
    """
    inner = {folder: names for folder in holders if (names := _inner_names(folder))}
    named = {folder.name.casefold() for folder in holders}
    for folder, names in inner.items():
        others = names & (named - {folder.name.casefold()})
        if others and (part_named(folder.name) or (len(others) > 1 and 2 * len(others) >= len(names))):
            raise DataError(f"{folder.path} holds folders of the names of those beside it ({_shown(others)}), so it "
                            "is a part or a copy of the dataset, and no class. Move it elsewhere; or move the other "
                            f"folders into a folder beside it, as in train/{min(others)}/ and test/{min(others)}/.")
    editions = [folder for folder in inner if _is_collection(folder.name)]
    for alike in ([folder for folder in inner if part_named(folder.name, loosely=True)],
                  editions if len(editions) == len(holders) else []):
        counted = Counter(name for folder in alike for name in inner[folder])
        shared = {name for name, count in counted.items() if count > 1}
        if len(shared) > 1:
            one = next((folder for folder in alike if folder.name.lower() not in MARKS), alike[0])
            raise DataError(f"The folders {', '.join(folder.name for folder in alike[:5])} in {place.path} hold "
                            f"folders of the same names ({_shown(shared)}): they are parts or editions of a dataset, "
                            "and no classes. Rename parts to train, val and test, or name one dataset, for example: "
                            f"{shell_word(one.path)}")


def refuse_boxes(holders: Sequence[Folder]) -> None:
    """Raise DataError for a single folder of photos, most of which have a text of boxes beside them (YOLO, VOC)."""
    for folder in holders if len(holders) == 1 else ():
        texts = {stem_of(name) for name in folder.content.others if name.lower().endswith((".txt", ".xml", ".json"))}
        if 2 * sum(stem_of(name) in texts for name in folder.content.photos) > len(folder.content.photos):
            raise DataError(f"{folder.path} is laid out for finding things in photos (as for YOLO or VOC): beside each "
                            "photo lies a text of what is in it. matlens learns one class for each photo. Put the "
                            "photos of each class into a folder of its own.")


def _inner_names(folder: Folder) -> set[str]:
    """Return the names of the folders of photos in a folder that holds classes rather than being one."""
    if not holds_classes(folder):
        return set()
    return {inner.name.casefold() for inner in unwrapped(folder).content.folders if holds_photos(inner)}


def _is_collection(name: str) -> bool:
    if name.lower() in PICTURES | MARKS:
        return True
    words = words_of(name)
    return bool(set(words) & _COLLECTIONS) and all(
        word in _COLLECTIONS or word in FILLERS or len(word) == 1 for word in words)


def doubts_about(places: Sequence[ClassFolder]) -> tuple[str, ...]:
    """Return what to say of classes that may be none: those named as parts, and those with the same subfolders."""
    said = [f"the class {place.name} has the name of a part of a divided dataset; if it is one, divide all classes so: "
            f"train/, val/ and test/ of class folders" for place in places if part_named(place.name)]
    if any(place.part for place in places):
        return tuple(said)
    inner = {place.name: names for place in places if (names := _inner_names(place.folder))}
    counted = Counter(name for names in inner.values() for name in names)
    common = {name for name, count in counted.items() if count > 1 and 2 * count > len(places)}
    if len(common) > 1:
        said.append(f"{len(inner)} classes ({_shown(inner)}) hold folders of the same names ({_shown(common)}); if "
                    "these are the classes, name the folder of one of the datasets instead")
    return tuple(said)


def refuse_masks(places: Sequence[ClassFolder]) -> None:
    """Raise DataError for class folders in which masks lie beside the photos: they would be taken for photos, too."""
    for place in places:
        for folder, path in below(place.folder, [], place.path):
            for masks in _masks_in(folder):
                raise DataError(f"The class {place.name} holds masks beside its photos, which would be taken for "
                                f"photos: {path}/{masks}. Move the masks of all classes out of {_top_of(place)}.")


def _top_of(place: ClassFolder) -> str:
    return str(PurePath(place.folder.path).parents[place.path.count("/")])


def _masks_in(folder: Folder) -> Iterator[str]:
    """Yield the folders or the names of masks in one folder."""
    named = {inner.name.lower(): inner for inner in folder.content.folders}
    marks = [named[name] for name in sorted(MARKS & named.keys()) if holds_photos(named[name])]
    stems = {stem_of(name) for name in folder.content.photos}
    if any(holds_photos(named[name]) for name in PICTURES & named.keys()):
        yield from (f"{inner.name}/" for inner in marks)
    for inner in marks:
        inside = [name for deeper, _ in below(inner, []) for name in deeper.content.photos]
        if 2 * sum(_marked(stem_of(name), stems) for name in inside) > len(inside):
            yield f"{inner.name}/"
    beside = [name for name in folder.content.photos if stem_of(name) != _masked(stem_of(name))
              and _masked(stem_of(name)) in stems]
    if 3 * len(beside) >= len(folder.content.photos) and beside:
        yield beside[0]


def _marked(stem: str, stems: set[str]) -> bool:
    return stem in stems or _masked(stem) in stems


def _masked(stem: str) -> str:
    """Return the stem of the photo that a mask belongs to by its name; the stem itself if it is no mask's."""
    for ending in _MASKED:
        before, found, after = stem.rpartition(ending)
        if found and not after.strip("_-() 0123456789"):
            return before
    return stem


def _shown(names: set[str] | Mapping[str, object]) -> str:
    return ", ".join(sorted(names)[:4]) + (" ..." if len(names) > 4 else "")
