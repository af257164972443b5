"""Make the guide's prepared directory: a dataset copied into train/, val/ and test/ of class folders."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from matlens.data.audit.integrity import check_photos
from matlens.data.drawn.mark import carry_over, remarks_of_drawing
from matlens.data.hidden.find import AUTO, auto_groups
from matlens.data.hidden.photos import hidden_among
from matlens.data.layout.listing import below
from matlens.data.layout.remarks import remarks_of, tell_unused
from matlens.data.layout.walk import rooted
from matlens.data.pixels.reader import PhotoReader
from matlens.data.pixels.store import hash_photos
from matlens.data.prepare import copies_among, report_problems
from matlens.data.source.sources import PARTS, Source, open_source
from matlens.data.split.splits import Photo, Split, check_ratios, make_split
from matlens.data.split.together import joined, named_groups
from matlens.errors import DataError
from matlens.notebook.label_space import remember_prepared
from matlens.settings.knobs import knob, with_knobs
from matlens.system.console import Reporter
from matlens.system.files import read_json, whole_folder, write_json
from matlens.system.untrusted import UNREADABLE

MANIFEST = "split.json"
"""Written last: a prepared directory without it is not finished."""

UNFINISHED = ".matlens-split.json"
"""In a directory that is being prepared: names all files that matlens puts there."""

_MARK = "matlens is, or was, making a split here, of these files"

_LONGEST_NAME = 255
"""Bytes of a file name on nearly all file systems."""


@with_knobs
def create_split(data_dir: str | Path, output_dir: str | Path, train_ratio: float = 0.7, val_ratio: float = 0.15,
                 test_ratio: float = 0.15, seed: int = knob("seed"), force: bool = False, *,
                 groups: str | None = None) -> Split:
    """Copy the photos of `data_dir` into output_dir/train, val and test, each class divided by the same shares.

    Photos that cannot be read are left out and named; copies of one photo stay in one part. Without `force` a
    finished split of the same photos with the same parameters stays as it is.

    Args:
        groups: further photos that must stay together: a file of lines `path,group`, or a pattern (see `named_groups`),
            or `auto`, for the groups that names or times of photos show.

    Returns:
        The split, also written as output_dir/split.json.

    Raises:
        SettingsError: ratios that do not sum to 1, or groups that are neither a file nor a pattern.
        DataError: a class too small to be divided, another split in `output_dir` without `force`, or an
            `output_dir` that cannot be written or lies among the photos.
    """
    ratios = check_ratios((train_ratio, val_ratio, test_ratio))
    out, reporter = Path(output_dir), Reporter()
    source = open_source(Path(data_dir))
    _refuse_overlap(out, Path(data_dir))
    paths = [photo.path for photo in source.photos]
    tell_unused(source, reporter)
    said: list[str] = []
    named = named_groups(paths, groups, source.root, said.append) if groups not in (None, AUTO) else []
    for remark in said:
        reporter.warn(remark)
    hashes, problems = hash_photos(source.root, paths)
    with reporter.progress("checking photos", len(paths)) as advance:
        problems |= check_photos(source, lambda done, _: advance(done, ""))
    report_problems(problems, source.root, reporter)
    path_of = {digest: path for path, digest in hashes.items() if path not in problems}
    if groups == AUTO:
        readable = {photo.path: photo.class_name for photo in source.photos if photo.path not in problems}
        hidden = hidden_among(source.root, readable, lambda path: PhotoReader().read(source.root / path), reporter)
        named, groups = auto_groups(hidden, source.root, reporter.say)
    copies = copies_among({path: hashes[path] for path in paths if path not in problems},
                          lambda digest: PhotoReader().read(source.root / path_of[digest]), reporter)
    split = make_split(source, "random" if groups is None else "grouped", hashes, problems, seed=seed, ratios=ratios,
                       together=joined([*named, *copies]), groups=groups)
    split = dataclasses.replace(split, remarks=(*remarks_of_drawing(source.root), *remarks_of(source), *said))
    remember_prepared(out)
    if not force and _is_there(out, split):
        return split
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"Cannot write to {out}: {error.strerror}. Name another folder.") from error
    write_json(out / UNFINISHED, {"what": _MARK, "files": [
        f"{photo.part}/{photo.class_name}/{name}" for photo in split.photos for name in _names(source, photo)]})
    (out / MANIFEST).unlink(missing_ok=True)
    with reporter.progress("copying photos", len(split.photos)) as advance:
        done = 0
        for part in PARTS:
            with whole_folder(out / part) as partial:
                for photo in split.part(part):
                    name, other = _names(source, photo)
                    target = partial / photo.class_name / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    if target.exists():  # a_b.jpg beside a/b.jpg, or the same name in train/ and test/
                        target = target.with_name(other)
                    shutil.copyfile(source.root / photo.path, target)
                    done += 1
                    advance(done, "")
    carry_over(source.root, out)
    split.write(out / MANIFEST)
    (out / UNFINISHED).unlink(missing_ok=True)
    return split


def _names(source: Source, photo: Photo) -> tuple[str, str]:
    """Return what a photo is called in its class's folder: so, or where that name is taken, by the second."""
    flat = _flat_name(photo.path, source.folders[photo.class_name])
    return _fitting(flat, photo.path), _fitting(flat, photo.path, always=True)


def _is_half_made(out: Path) -> bool:
    """Return whether all that lies in the parts in `out` is of a split that matlens began to make there."""
    try:
        about = read_json(out / UNFINISHED)
        ours = set(about["files"]) if about["what"] == _MARK else set()
        lying = [Path(above, name) for part in PARTS for above, folders, files in os.walk(out / part)
                 for name in [*files, *(folder for folder in folders if Path(above, folder).is_symlink())]]
    except UNREADABLE:
        return False
    return all(file.relative_to(out).as_posix() in ours for file in lying)


def _flat_name(path: str, folders: Sequence[str]) -> str:
    """Return a file name inside the class folder; subfolders become part of it. folders: those of the class."""
    own = max((folder for folder in folders if path.startswith(f"{folder}/")), key=len)
    return path.removeprefix(f"{own}/").replace("/", "_")


def _fitting(name: str, path: str, always: bool = False) -> str:
    """Return a file name that file systems take: a long one is cut off and ends in a hash of the photo's path.

    always: add the hash to a short name, too.
    """
    if len(name.encode()) <= _LONGEST_NAME and not always:
        return name
    stem, dot, ending = name.rpartition(".")
    after = f"_{hashlib.sha256(path.encode()).hexdigest()[:12]}{dot}{ending}"
    return stem.encode()[:_LONGEST_NAME - len(after)].decode(errors="ignore") + after


def _refuse_overlap(out: Path, data_dir: Path) -> None:
    """Raise DataError where replacing train/ would remove the photos that it is made from."""
    target, photos = out.resolve(), data_dir.resolve()
    if target.is_relative_to(photos) or any(photos.is_relative_to(target / part) for part in PARTS):
        raise DataError(f"{out} lies among the photos of {data_dir}; the split needs a folder of its own beside them.")


def _is_there(out: Path, split: Split) -> bool:
    """Return whether `out` holds this split. Raises DataError if it holds another, or an unfinished one."""
    if not any((out / part).exists() for part in PARTS):
        return False
    if not (out / MANIFEST).exists():
        if _is_half_made(out):
            return False
        raise DataError(f"{out} holds train/, val/ or test/ of an unfinished or foreign split. Use force=True "
                        "(--force) to replace them, or another folder.")
    there = Split.read(out / MANIFEST)
    differences = [f"{what}: {old} there, {new} asked for" for what, old, new in (
        ("seed", there.seed, split.seed), ("ratios", there.ratios, split.ratios),
        ("classes", len(there.class_names), len(split.class_names)), ("photos", len(there.photos), len(split.photos)),
    ) if old != new]
    if there.hash != split.hash:
        raise DataError(f"{out} holds another split ({'; '.join(differences) or 'of other photos'}). Use force=True "
                        "(--force) to replace it, or another folder.")
    counted = {part: sum(len(folder.content.photos) for folder, _ in below(rooted(out / part), [])) for part in PARTS}
    expected = {part: len(split.part(part)) for part in PARTS}
    if counted != expected:
        raise DataError(f"The split in {out} is not whole: {counted} photos there, {expected} expected. Use force=True "
                        "(--force) to make it again.")
    return True
