"""Run the whole data stage: find the photos, read them, leave out what is broken, and divide the rest."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matlens.data.drawn.mark import remarks_of_drawing
from matlens.data.hidden.cameras import kept_shots
from matlens.data.hidden.find import AUTO, auto_groups
from matlens.data.hidden.photos import hidden_among
from matlens.data.layout.remarks import remarks_of, tell_unused
from matlens.data.pixels.store import PixelStore, hash_photos, prepare_store
from matlens.data.remote.bring import with_photos_here
from matlens.data.source.minc import deviations, is_minc_2500
from matlens.data.source.sources import Source, open_source
from matlens.data.split.copies import Keeping, look_alikes
from matlens.data.split.correcting import remark_on, with_corrections
from matlens.data.split.protocols import default_protocol, listed_by_protocol
from matlens.data.split.splits import Split, make_split
from matlens.data.split.together import joined, named_groups
from matlens.settings.protocols import draws
from matlens.settings.schema import Settings
from matlens.system.console import Reporter, command
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

    Photos at an address are brought into the cache first.

    Raises:
        DataError: there is no dataset, or it cannot be divided as the settings say.
        SettingsError: the protocol is unknown, or the groups are neither a file nor a pattern.
        CacheError: the decoded photos cannot be stored.
    """
    settings = with_photos_here(settings, reporter)
    source = open_source(settings.data_dir)
    tell_unused(source, reporter)
    said: list[str] = []
    groups = settings.groups
    protocol, paths, named = _asked_division(source, settings, said.append)
    with reporter.progress("reading photos", len(paths)) as advance:
        hashes, problems = hash_photos(source.root, paths, lambda done, _: advance(done, ""))
    with reporter.progress("decoding photos", len(paths)) as advance:
        store = prepare_store(source.root, hashes, settings.img_size, settings.cache_dir,
                              keep_truncated=settings.keep_truncated, on_progress=lambda done, _: advance(done, ""),
                              say=reporter.say)
    problems |= {path: store.problems[digest] for path, digest in hashes.items() if digest in store.problems}
    report_problems(problems, source.root, reporter)
    readable = {photo.path: photo.class_name for photo in source.photos if photo.path in hashes.keys() - problems}
    hidden = hidden_among(source.root, readable, lambda path: store.photo(store.rows[hashes[path]]), reporter,
                          lambda: kept_shots(source.root, hashes, settings.cache_dir, reporter.say))
    if groups == AUTO:
        named, groups = auto_groups(hidden, source.root, reporter.say)
    copies = copies_among({path: digest for path, digest in hashes.items() if path not in problems},
                          lambda digest: store.photo(store.rows[digest]), reporter, drawn=draws(protocol),
                          keeping=Keeping(settings.cache_dir, store.decoding, reporter.say))
    split = make_split(source, protocol, hashes, problems, seed=settings.seed_of_split,
                       together=joined([*named, *copies]), groups=groups, train_on=settings.train_on)
    split = with_corrections(split, settings.corrections, source, reporter.warn)
    if split.corrected:
        said.append(remark_on(split.corrected))
    faults = _faults(source, split, named, copies)
    said += [remark for found in hidden[:1] if (remark := found.remark(split))]
    drawn = remarks_of_drawing(source.root)
    split = dataclasses.replace(split, remarks=(*drawn, *remarks_of(source), *said, *faults))
    counts = {part: sum(by_class.values()) for part, by_class in split.counts().items()}
    reporter.say(f"{len(split.photos)} photos of {len(split.class_names)} classes in {source.root} "
                 f"({protocol}: {counts['train']} train, {counts['val']} val, {counts['test']} test)")
    for remark in drawn:
        reporter.say(remark)
    for remark in said:
        reporter.warn(remark)
    for remark in faults:
        reporter.warn(f"{remark} ({command('data', 'audit', settings.data_dir)} has the whole list)")
    return Prepared(source, split, store)


def refuse_division(source: Source, settings: Settings) -> None:
    """Refuse a protocol that the dataset has not, and groups that cannot be read, before anything is fetched or read.

    Raises DataError or SettingsError, as `prepare` does.
    """
    _asked_division(source, settings, lambda remark: None)


def _asked_division(source: Source, settings: Settings, say: Callable[[str], None],
                    ) -> tuple[str, list[str], list[tuple[str, ...]]]:
    """Return the protocol, the paths of the photos that it lists, and the groups that the user named of them."""
    protocol = settings.protocol or default_protocol(source, settings.groups)
    paths = sorted({photo.path for photo in listed_by_protocol(source, protocol)})
    named = named_groups(paths, settings.groups, source.root, say) if settings.groups not in (None, AUTO) else []
    return protocol, paths, named


def copies_among(hashes: Mapping[str, str], read: Callable[[str], Pixels | None], reporter: Reporter, *,
                 drawn: bool = True, keeping: Keeping | None = None) -> list[tuple[str, ...]]:
    """Return groups of photos that are copies of one, exact or nearly so.

    Args:
        hashes: the SHA-256 of each readable photo by its path.
        read: returns the pixels, (H, W, 3) uint8, of the photo with a SHA-256, or None.
        drawn: whether the photos are divided by matlens, which then keeps each group in one part.
        keeping: where the outcome is kept; None: nowhere.
    """
    with reporter.progress("looking for copies", len(hashes)) as advance:
        copies = look_alikes(hashes, read, lambda done, _: advance(done, ""), keeping)
    if copies:
        groups = f"{len(copies)} group{'s' * (len(copies) != 1)}, such as {', '.join(copies[0][:3])}"
        reporter.say(f"{sum(map(len, copies))} photos are copies of each other, exact or nearly so ({groups})"
                     f"{'; each group stays in one part' if drawn else ''}")
    return copies


def _faults(source: Source, split: Split, named: Sequence[tuple[str, ...]], copies: Sequence[tuple[str, ...]],
            ) -> list[str]:
    """Return what is wrong with the classes, and with a split that was made elsewhere: one that matlens draws is right.

    Args:
        named: the user's groups.
        copies: groups of photos that are copies of one, exact or nearly so.
    """
    faults = _in_two_classes(split, copies)
    times, parts_of = Counter(photo.sha256 for photo in split.photos), defaultdict[str, set[str]](set)
    for photo in split.photos:
        if times[photo.sha256] > 1:  # few are, and a set for each of a million takes 0.3 GB
            parts_of[photo.sha256].add(photo.part)
    leaked = {photo.path for photo in split.photos if photo.part == "test" and len(parts_of.get(photo.sha256, ())) > 1}
    tested = {photo.path for photo in split.part("test")}
    if leaked:
        faults.append(f"{len(leaked)} of {len(tested)} test photos {'is' if len(leaked) == 1 else 'are'} also in the "
                      f"training or validation set (identical file{'s' * (len(leaked) != 1)})")
    divided = _divided(split, copies)
    if alike := {path for group in divided for path in group} & tested - leaked:
        faults.append(f"{len(alike)} {'more ' if leaked else ''}of {len(tested)} test photos look the same as photos "
                      f"of the training or validation set, such as {min(alike)}")
    if torn := _divided(split, named):
        faults.append(f"{len(torn)} of {len(named)} groups of --groups {split.groups} are divided between parts, such "
                      f"as {' and '.join(torn[0][:2])}")
    if split.protocol.startswith("minc:"):
        listed = {photo.path for photo in split.photos} | {left.path for left in split.left_out}
        if unlisted := [photo.path for photo in source.photos if photo.path not in listed]:
            faults.append(f"the lists of {split.protocol} do not name {len(unlisted)} of {len(source.photos)} photos, "
                          f"such as {unlisted[0]}; these are not used")
        if is_minc_2500(source) and (deviating := deviations(source)):
            more = f" (and {len(deviating) - 1} more)" if len(deviating) > 1 else ""
            faults.append(f"this is not MINC-2500 as published: {deviating[0]}{more}")
    return faults


def _in_two_classes(split: Split, copies: Sequence[tuple[str, ...]]) -> list[str]:
    """Say how many photos have a copy under another class, as the split calls it; nothing where none has."""
    class_of = {photo.path: photo.class_name for photo in split.photos}
    used = ([path for path in group if path in class_of] for group in copies)
    torn = [paths for paths in used if len({class_of[path] for path in paths}) > 1]
    if not torn:
        return []
    first = torn[0][0]
    other = next(path for path in torn[0] if class_of[path] != class_of[first])
    return [f"{sum(map(len, torn))} photos are copies of each other, exact or nearly so, under different classes, such "
            f"as {first} and {other}"]


def _divided(split: Split, groups: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the groups that lie in several parts; of each the photos that do, one from each part first."""
    part_of = {photo.path: photo.part for photo in split.photos}
    divided = []
    for group in groups:
        first = {part_of[path]: path for path in reversed(group) if path in part_of}
        if len(first) > 1:
            divided.append((*first.values(), *(path for path in group if path in part_of
                                               and path not in first.values())))
    return divided


def report_problems(problems: dict[str, str], root: Path, reporter: Reporter) -> None:
    """Warn of the photos that were left out, with their reasons."""
    if not problems:
        return
    named = "; ".join(f"{path} ({reason})" for path, reason in sorted(problems.items())[:_NAMED])
    more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
    photos_are = "photo in {} cannot be read and is" if len(problems) == 1 else "photos in {} cannot be read and are"
    reporter.warn(f"{len(problems)} {photos_are.format(root)} left out: {named}{more}")
