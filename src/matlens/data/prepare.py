"""The data stage as a whole: find the photos, read them all once, leave out what is broken, divide the rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matlens.console import Reporter
from matlens.data.sources import Source, open_source
from matlens.data.splits import Split, default_protocol, listed_by_protocol, make_split
from matlens.data.store import PixelStore, hash_photos, prepare_store
from matlens.settings import Settings

_NAMED = 5
"""Broken photos that are named one by one; the manifest names all."""


@dataclass(frozen=True)
class Prepared:
    """A dataset that is ready for training."""

    source: Source
    split: Split
    store: PixelStore


def prepare(settings: Settings, reporter: Reporter) -> Prepared:
    """Read, decode and divide the dataset at `settings.data_dir`; nothing there is changed.

    Raises:
        DataError, SettingsError or RunFolderError: what is wrong, and the way out.
    """
    source = open_source(settings.data_dir)
    protocol = settings.protocol or default_protocol(source)
    paths = sorted({photo.path for photo in listed_by_protocol(source, protocol)})
    with reporter.progress("reading photos", len(paths)) as advance:
        hashes, problems = hash_photos(source.root, paths, lambda done, _: advance(done, ""))
    with reporter.progress("decoding photos", len(paths)) as advance:
        store = prepare_store(source.root, hashes, settings.img_size, settings.cache_dir,
                              keep_truncated=settings.keep_truncated, on_progress=lambda done, _: advance(done, ""),
                              say=reporter.say)
    problems |= {path: store.problems[digest] for path, digest in hashes.items() if digest in store.problems}
    report_problems(problems, source.root, reporter)
    split = make_split(source, protocol, hashes, problems, seed=settings.seed)
    counts = {part: sum(by_class.values()) for part, by_class in split.counts().items()}
    reporter.say(f"{len(split.photos)} photos of {len(split.class_names)} classes in {source.root} "
                 f"({protocol}: {counts['train']} train, {counts['val']} val, {counts['test']} test)")
    if source.other_files:
        reporter.say(f"{source.other_files} files in class folders are no photos by their names; passed over")
    return Prepared(source, split, store)


def report_problems(problems: dict[str, str], root: Path, reporter: Reporter) -> None:
    """Name the photos that were left out."""
    if not problems:
        return
    named = "; ".join(f"{path} ({reason})" for path, reason in sorted(problems.items())[:_NAMED])
    more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    one = len(problems) == 1
    reporter.warn(f"{len(problems)} photo{'' if one else 's'} in {root} cannot be read and "
                  f"{'is' if one else 'are'} left out: {named}{more}")
