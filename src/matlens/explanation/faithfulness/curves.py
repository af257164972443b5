"""Take out of photos what is hot, and see whether the probability falls more than by chance.

There are three measures of a map, each of the probability of the class that it explains:

- deletion (Petsiuk et al. 2018, arXiv:1806.07421): the area under the curve as cells are blanked, the hottest first;
  lower is better;
- insertion (the same): the area as cells of the photo come back into a blurred one, the hottest first; higher is
  better;
- ROAD (Rong et al. 2022, arXiv:2202.00449): cells are imputed instead of blanked, so that neither the mask's shape nor
  an unnatural colour tells anything; half the difference between removing the coldest first and the hottest first, the
  mean over fractions; higher is better, 0 is blind.

The same is done for maps that know nothing of the model: random ones of as many places, and closeness to the centre.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from matlens.data.pixels.values import as_floats
from matlens.explanation.faithfulness.imputation import (
    at_grid,
    blanked,
    blurred,
    first_cells,
    grid_of,
    imputed,
    ranked,
    replaced,
)
from matlens.explanation.registry import BASELINES, DEFAULT_METHOD
from matlens.types import Array, Floats, Labels, Pixels, Progress, unheard

FRACTIONS = tuple(step / 10 for step in range(11))
"""The shares of the cells that are deleted or inserted."""

REMOVED = (0.2, 0.4, 0.6, 0.8)
"""The shares of the cells that ROAD removes."""

MEASURES = ("deletion", "insertion", "road")
LOWER_IS_BETTER = frozenset({"deletion"})
CURVES = ("deletion", "insertion", "most_first", "least_first")

_BATCH = 32


@dataclass(frozen=True)
class MapCurves:
    """The curves of one kind of map: the probability of the explained class for each photo and fraction, (N, F).

    curves: by name; deletion and insertion at FRACTIONS, most_first and least_first (ROAD's) at REMOVED.
    """

    curves: Mapping[str, Array]

    @property
    def scores(self) -> dict[str, Floats]:
        """The score of each photo, (N,), by measure."""
        deletion, insertion, most_first, least_first = (self.curves[name].astype(np.float64) for name in CURVES)
        return {"deletion": _area(deletion), "insertion": _area(insertion),
                "road": (least_first - most_first).mean(axis=1) / 2}


def measure(photos: Pixels, heat: Array, classes: Labels, predict: Callable[[Array], Array], seeds: Sequence[int],
            name: str = DEFAULT_METHOD, on_progress: Progress = unheard) -> dict[str, MapCurves]:
    """Measure heat maps, and the baselines beside them.

    Args:
        photos: (N, H, W, 3) uint8.
        heat: (N, h, w), h x w above 1.
        classes: (N,) the class that each map explains.
        predict: (B, H, W, 3) float32 in [0, 1] to probabilities (B, C).
        seeds: (N,) of each photo's random map, ties and noise, so that all models have the same.
        name: the method's, under which the curves of its maps are returned.
        on_progress: called with the photos done so far.

    Returns:
        Curves by map: `name`, random, centre.
    """
    names = (name, *BASELINES)
    curves_by_map = {kind: {curve: np.empty((len(photos), len(REMOVED if "first" in curve else FRACTIONS)), np.float32)
                            for curve in CURVES} for kind in names}
    for index, photo in enumerate(photos):
        rng = np.random.default_rng(seeds[index])
        variants = list(_variants(photo, heat[index], names, rng))
        answers = _answers(predict, [picture for _, picture in variants])[:, classes[index]]
        for (places, _), probability in zip(variants, answers, strict=True):
            for kind, curve, step in places:
                curves_by_map[kind][curve][index, step] = probability
        on_progress(index + 1, len(photos))
    return {kind: MapCurves(curves) for kind, curves in curves_by_map.items()}


_Places = list[tuple[str, str, int]]
"""To which (map, curve, step) an answer belongs. A whole, blank or blurred photo is the same for all maps."""


def _variants(photo: Pixels, heat: Array, names: Sequence[str], rng: np.random.Generator,
              ) -> Iterator[tuple[_Places, Pixels]]:
    grid, last = grid_of(photo.shape[:2]), len(FRACTIONS) - 1
    blank, soft = blanked(photo), blurred(photo)
    yield [(kind, curve, step) for kind in names for curve, step in (("deletion", 0), ("insertion", last))], photo
    yield [(kind, "deletion", last) for kind in names], blank
    yield [(kind, "insertion", 0) for kind in names], soft
    chance = rng.random(heat.shape, dtype=np.float32)
    # What decides between cells of equal heat has places as large as the heat's: single cells taken out here and there
    # are another disturbance than a patch.
    tie_break = at_grid(rng.random(heat.shape, dtype=np.float32), grid)
    maps = at_grid(heat, grid), at_grid(chance, grid), closeness_to_centre(grid)
    for kind, values in zip(names, maps, strict=True):
        order = ranked(values, tie_break)
        for step in range(1, last):
            mask = first_cells(order, FRACTIONS[step], grid)
            yield [(kind, "deletion", step)], replaced(photo, mask, blank)
            yield [(kind, "insertion", step)], replaced(soft, mask, photo)
        for curve, ranking in (("most_first", order), ("least_first", order[::-1])):
            for step, fraction in enumerate(REMOVED):
                yield [(kind, curve, step)], imputed(photo, first_cells(ranking, fraction, grid), rng)


def closeness_to_centre(grid: tuple[int, int]) -> Array:
    """Make a map that is hot in the middle whatever the photo shows, (rows, columns) float32, 0 at the corners."""
    down, right = (np.linspace(-1, 1, n, dtype=np.float32) if n > 1 else np.zeros(1, np.float32) for n in grid)
    return np.asarray(1 - (down[:, None] ** 2 + right[None] ** 2) / 2, dtype=np.float32)


def _area(curve: Floats) -> Floats:
    """Return the area under curves (N, F) over F even steps from 0 to 1, by trapezia."""
    return np.asarray((curve[:, 1:] + curve[:, :-1]).mean(axis=1) / 2)


def _answers(predict: Callable[[Array], Array], pictures: Sequence[Pixels]) -> Array:
    return np.concatenate([
        predict(as_floats(np.stack(pictures[start:start + _BATCH])))
        for start in range(0, len(pictures), _BATCH)])
