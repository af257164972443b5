"""Run the whole data stage: find the photos, read them, leave out what is broken, and divide the rest."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matlens.data.pixels.store import PixelStore, hash_photos, prepare_store
from matlens.data.source.minc import deviations, is_minc_2500
from matlens.data.source.sources import Source, open_source
from matlens.data.split.protocols import default_protocol, listed_by_protocol
from matlens.data.split.splits import Split, make_split
from matlens.data.split.together import joined, look_alikes, named_groups
from matlens.settings.protocols import draws
from matlens.settings.schema import Settings
from matlens.system.console import Reporter
from matlens.types import Pixels

_NAMED = 5
"""How many broken photos a warning names; the manifest names all."""


@dataclass(frozen=True)
class Prepared:
    """A dataset that is ready for training."""

    source: Source
    split: Split
    store: PixelStore


def prepare(settings: Settings, reporter: Reporter) -> Prepared:
    """Read, decode and divide the dataset at `settings.data_dir`, without changing anything there.

    Raises:
        DataError: there is no dataset, or it cannot be divided as the settings say.
        SettingsError: the protocol is unknown, or the groups are neither a file nor a pattern.
        CacheError: the decoded photos cannot be stored.
    """
    source = open_source(settings.data_dir)
    protocol = settings.protocol or default_protocol(source, settings.groups)
    paths = sorted({photo.path for photo in listed_by_protocol(source, protocol)})
    named = named_groups(paths, settings.groups) if settings.groups is not None else []
    with reporter.progress("reading photos", len(paths)) as advance:
        hashes, problems = hash_photos(source.root, paths, lambda done, _: advance(done, ""))
    with reporter.progress("decoding photos", len(paths)) as advance:
        store = prepare_store(source.root, hashes, settings.img_size, settings.cache_dir,
                              keep_truncated=settings.keep_truncated, on_progress=lambda done, _: advance(done, ""),
                              say=reporter.say)
    problems |= {path: store.problems[digest] for path, digest in hashes.items() if digest in store.problems}
    report_problems(problems, source.root, reporter)
    together = kept_together(named, {path: digest for path, digest in hashes.items() if path not in problems},
                             lambda digest: store.photo(store.rows[digest]), reporter) if draws(protocol) else []
    split = make_split(source, protocol, hashes, problems, seed=settings.seed_of_split, together=together,
                       groups=settings.groups, train_on=settings.train_on)
    split = dataclasses.replace(split, remarks=_remarks(source, split))
    counts = {part: sum(by_class.values()) for part, by_class in split.counts().items()}
    reporter.say(f"{len(split.photos)} photos of {len(split.class_names)} classes in {source.root} "
                 f"({protocol}: {counts['train']} train, {counts['val']} val, {counts['test']} test)")
    for remark in split.remarks:
        reporter.warn(f"{remark} (matlens data audit {settings.data_dir} has the whole list)")
    if source.other_files:
        reporter.say(f"{source.other_files} files in class folders are no photos by their names and are not used")
    return Prepared(source, split, store)


def kept_together(named: Sequence[tuple[str, ...]], hashes: Mapping[str, str], read: Callable[[str], Pixels | None],
                  reporter: Reporter) -> list[tuple[str, ...]]:
    """Return groups of photos that no split may divide: the user's groups, and copies of a photo, exact or nearly so.

    Args:
        hashes: the SHA-256 of each readable photo by its path.
        read: returns the pixels, (H, W, 3) uint8, of the photo with a SHA-256, or None.
    """
    with reporter.progress("looking for copies", len(hashes)) as advance:
        copies = look_alikes(hashes, read, lambda done, _: advance(done, ""))
    if copies:
        reporter.say(f"{sum(map(len, copies))} photos are copies of each other, exact or nearly so ({len(copies)} "
                     f"groups, such as {', '.join(copies[0][:3])}); each group stays in one part")
    return joined([*named, *copies])


def _remarks(source: Source, split: Split) -> tuple[str, ...]:
    """Return what is wrong with a split that was made elsewhere; splits that matlens draws have no such faults."""
    parts_of: dict[str, set[str]] = defaultdict(set)
    for photo in split.photos:
        parts_of[photo.sha256].add(photo.part)
    leaked = sum(photo.part == "test" and len(parts_of[photo.sha256]) > 1 for photo in split.photos)
    remarks = [f"{leaked} of {len(split.part('test'))} test photos are in train or val, too, byte for byte"
               ] if leaked else []
    if split.protocol.startswith("minc:") and is_minc_2500(source) and (deviating := deviations(source)):
        more = f" (and {len(deviating) - 1} more)" if len(deviating) > 1 else ""
        remarks.append(f"this is not MINC-2500 as published: {deviating[0]}{more}")
    return tuple(remarks)


def report_problems(problems: dict[str, str], root: Path, reporter: Reporter) -> None:
    """Warn of the photos that were left out, with their reasons."""
    if not problems:
        return
    named = "; ".join(f"{path} ({reason})" for path, reason in sorted(problems.items())[:_NAMED])
    more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    photos_are = "photo in {} cannot be read and is" if len(problems) == 1 else "photos in {} cannot be read and are"
    reporter.warn(f"{len(problems)} {photos_are.format(root)} left out: {named}{more}")
