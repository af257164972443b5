"""The galleries of a run's models as its page shows them.

A test photo is in several galleries, and often in those of several models. So the page holds each photo once, in a
pool, and shows it wherever it belongs; only the heat map laid over it is the gallery's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from matlens.errors import ResultsError
from matlens.evaluation.results import Results
from matlens.explanation.galleries import SHOWN, SHOWN_PER_CLASS, SHOWN_PER_PAIR, Gallery, GalleryPhoto
from matlens.explanation.registry import title_of
from matlens.report.words import percent
from matlens.runs.paths import RunPaths
from matlens.system.untrusted import reading

CLASSES_SHOWN = 24
"""At most so many classes have a gallery of their own on the page, those with the lowest F1. The file has more."""

_LONGEST = 150_000
"""The most characters of a photo or a heat map in base64: 144 px of pure noise keep to a third of that."""


@dataclass(frozen=True)
class PooledPhoto:
    """A photo that the page holds once: a JPEG in base64."""

    key: str
    jpeg: str
    width: int
    height: int


@dataclass
class PhotoPool:
    """The photos of all galleries of a page, each once."""

    photos: dict[str, PooledPhoto] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Characters of all photos."""
        return sum(len(photo.jpeg) for photo in self.photos.values())

    def add(self, photo: GalleryPhoto) -> PooledPhoto:
        """Put a photo into the pool, once. Raises ValueError where it is larger than any that matlens makes."""
        if max(len(photo.jpeg), len(photo.heat or "")) > _LONGEST:
            raise ValueError("a photo is too large")
        return self.photos.setdefault(
            photo.jpeg, PooledPhoto(f"photo-{len(self.photos) + 1}", photo.jpeg, int(photo.width), int(photo.height)))


@dataclass(frozen=True)
class Card:
    """A photo in a gallery.

    said: the answer and its probability, and the true class's where that is another.
    """

    photo: PooledPhoto
    heat: str | None
    alt: str
    said: str
    path: str


@dataclass(frozen=True)
class Shelf:
    """Photos that belong together, under a title (empty where the gallery's own suffices)."""

    title: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class GalleryView:
    """Shelves by the gallery's title, with a sentence on what it shows."""

    method: str
    galleries: tuple[tuple[str, str, tuple[Shelf, ...]], ...]

    @property
    def has_heat(self) -> bool:
        """Whether there are heat maps. There are none where they have one place."""
        return any(card.heat for _, _, shelves in self.galleries for shelf in shelves for card in shelf.cards)


    @property
    def size(self) -> int:
        """Characters of all heat maps."""
        return sum(len(card.heat or "") for _, _, shelves in self.galleries for shelf in shelves
                   for card in shelf.cards)


def view_gallery(paths: RunPaths, results: Results, pool: PhotoPool) -> GalleryView | None:
    """Read the galleries of a model, and add their photos to the pool; None where none were made.

    Raises ResultsError where the file is damaged, or of an earlier training of the model.
    """
    gallery = Gallery.current(paths, results.model_name)
    if gallery is None:
        return None
    with reading(paths.on_request_file(results.model_name, Gallery.kind), "a whole gallery: it is damaged",
                 ResultsError, f"Make it again with: {Gallery.command_for(paths.path)}"):
        return _view(gallery, results, pool)


def _view(gallery: Gallery, results: Results, pool: PhotoPool) -> GalleryView:
    def shelf(title: str, numbers: Iterable[int], most: int) -> Shelf:
        return Shelf(title, tuple(_card(gallery.photos[number], pool) for number in tuple(numbers)[:most]))

    f1 = {name: score["f1"] for name, score in results.per_class.items()}
    classes = sorted(gallery.per_class, key=lambda name: f1.get(name, 1.0))
    chosen = classes[:CLASSES_SHOWN]
    left = (f" Of {len(f1)} classes those with the lowest F1 are shown; the file has "
            f"{'all' if len(classes) >= len(f1) else len(classes)}." if chosen != classes else "")
    of_classes = [shelf(f"{name}: {kind}", gallery.per_class[name][key], SHOWN_PER_CLASS) for name in chosen
                  for kind, key in (("mistakes", "mistakes"), ("least confident correct answers", "hits"))]
    pairs = [shelf(f"{pair.truth} taken for {pair.predicted}: {pair.count:,} photo{'s' * (pair.count != 1)}",
                   pair.photos, SHOWN_PER_PAIR) for pair in gallery.pairs]
    galleries = (
        ("Most confident mistakes", "Wrong answers with the highest probability.",
         [shelf("", gallery.confident_mistakes, SHOWN)]),
        ("Least confident correct answers", "Correct answers with the lowest probability.",
         [shelf("", gallery.unsure_hits, SHOWN)]),
        ("Each class", f"Its most confident mistakes and its least confident correct answers.{left}", of_classes),
        ("Confused pairs", "True class and answer, the most frequent pair first.", pairs))
    return GalleryView(title_of(str(gallery.method)), tuple(
        (title, note, tuple(filled for filled in shelves if filled.cards)) for title, note, shelves in galleries))


def _card(photo: GalleryPhoto, pool: PhotoPool) -> Card:
    said = f"predicted {photo.predicted}, {percent(photo.probability)}"
    if photo.truth != photo.predicted:
        said += f" (true: {photo.truth}, {percent(photo.truth_probability)})"
    return Card(pool.add(photo), photo.heat, f"Photo of {photo.truth}, predicted {photo.predicted} with "
                f"{percent(photo.probability)}", said, photo.path)
