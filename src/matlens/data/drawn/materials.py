"""Draw materials: one function for each material, registered by its name in `DRAWERS`.

A drawing function takes a `Surface` and returns its colour as a (3, n, n) float32 RGB array, nominally in 0..1.
`matlens.data.drawn.synthetic` adds light, lens and sensor. Colours are (3, 1, 1) so that they broadcast. The palettes
of materials overlap on purpose, so that colour alone does not tell the material.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from matlens.data.drawn.surface import (
    AZURE,
    BLUE,
    BROWN,
    BUFF,
    CHARCOAL,
    CREAM,
    GREEN,
    GREY,
    NAVY,
    OAK,
    OLIVE,
    RED,
    RUST,
    SILVER,
    SLATE,
    STRAW,
    TEAL,
    WHITE,
    Field,
    Surface,
    View,
    frac,
    mix,
    soft,
    step,
    to_edge,
)

Drawer = Callable[[Surface], Field]
DRAWERS: dict[str, tuple[View, Drawer]] = {}


def _seen_by(view: View) -> Callable[[Drawer], Drawer]:
    def register(draw: Drawer) -> Drawer:
        DRAWERS[draw.__name__] = (view, draw)
        return draw

    return register


@_seen_by(View(span=(2.2, 5.0), turn=0.25))
def brick(s: Surface) -> Field:
    high = s.rng.uniform(0.28, 0.42)
    row, fv = frac(s.v / high)
    column, fu = frac(s.u + row * float(s.rng.choice([0.5, 0.33])))
    rough = s.noise(8, octaves=4)
    face = step(0.02, 0.05, np.minimum(to_edge(fu), to_edge(fv) * high) + 0.006 * rough)
    tone = s.per_cell(row, column)
    body = mix(
        s.colour(RED, RUST, BROWN, BUFF, GREY), s.colour(RED, BROWN, SLATE, BUFF), 0.6 * step(0.4, 1.2, tone)
    )
    body = body * (1 + 0.12 * s.per_cell(row, column) + 0.07 * rough)
    mortar = s.colour(CREAM, GREY, CHARCOAL, SILVER) * (1 + 0.06 * rough)
    return mix(mortar, body, face) * s.lit(face + 0.06 * rough, 0.5)


@_seen_by(View(span=(13, 26)))
def fabric(s: Surface) -> Field:
    s = s.bent(0.4, 0.06)
    (i, fu), (j, fv) = frac(s.u), frac(s.v)
    shift = int(s.rng.choice([2, 4]))  # plain weave or twill
    on_top = (i + j) % shift < shift / 2
    base = s.colour(NAVY, BLUE, RED, GREY, CREAM, OLIVE, BROWN)
    stripe = s.colour(WHITE, CHARCOAL, RED, BUFF, TEAL)
    period, width = int(s.rng.integers(6, 12)), int(s.rng.integers(1, 4)) * (s.rng.random() < 0.6)
    striped = np.where(on_top, i % period < width, j % period < width).astype(np.float32)
    over, ends = np.where(on_top, to_edge(fu), to_edge(fv)), np.where(on_top, to_edge(fv), to_edge(fu))
    thread = (0.6 + 0.56 * np.sqrt(over) + 0.24 * ends + 0.05 * s.noise(1.5)) * np.where(on_top, 1, 0.9)
    folds = 1 + s.rng.uniform(0.05, 0.2) * s.noise(0.02, 0.12, octaves=2)
    return mix(base, stripe, striped) * (thread.astype(np.float32) * folds)


def _painted(ground: Field, shapes: Field, tints: Field, half: int = 0) -> Field:
    """Paint polygons over a ground, first to last; shapes (k, p, 2) px, tints (k, 3) -> (3, n, n).

    With `half`, a leaf's first so many corners are one lit half and the rest of it lies in shade.
    """
    canvas: Any = np.ascontiguousarray(ground.transpose(1, 2, 0))
    for corners, tint in zip((shapes * 16).astype(np.int32), tints.tolist(), strict=True):
        cv2.fillPoly(canvas, [corners], tint, cv2.LINE_8, 4)
        if half:
            cv2.fillPoly(canvas, [corners[:half]], [1.25 * c for c in tint], cv2.LINE_8, 4)
    return np.ascontiguousarray(canvas.transpose(2, 0, 1))


@_seen_by(View(span=(3.0, 7.0)))
def foliage(s: Surface) -> Field:
    n, rng = len(s.u), s.rng
    size = n * float(np.exp(rng.uniform(np.log(0.13), np.log(0.32))))
    t = np.linspace(0, 1, 8)
    side = rng.uniform(0.18, 0.32) * np.sin(np.pi * t**0.8)
    leaf = size * np.stack([np.r_[t, t[::-1]], np.r_[side, -side[::-1]]], axis=1)
    count = min(int(9 * (n / size) ** 2), 260)
    angle = rng.uniform(-np.pi, np.pi) + rng.normal(0, 1.1, (count, 1))
    leaves = leaf * rng.uniform(0.7, 1.2, (count, 1, 1))
    x = leaves[..., 0] * np.cos(angle) - leaves[..., 1] * np.sin(angle)
    y = leaves[..., 0] * np.sin(angle) + leaves[..., 1] * np.cos(angle)
    shapes = np.stack([x, y], axis=-1) + rng.uniform(-0.2, 1.1, (count, 1, 2)) * n
    colour = s.colour(GREEN, GREEN, OLIVE, OLIVE, RUST, STRAW, RED).ravel()
    depth = np.linspace(0.3, 1, count)[:, None] * rng.normal(1, 0.13, (count, 1))
    tints = colour * depth * rng.normal(1, 0.05, (count, 3))
    return _painted(s.colour(GREEN, OLIVE, BROWN) * 0.3 + 0 * s.u, shapes, tints, half=8)


@_seen_by(View(span=(3.0, 7.0)))
def grass(s: Surface) -> Field:
    n, rng, count = len(s.u), s.rng, 420
    depth = np.linspace(0, 1, count)[:, None]
    x, y = rng.uniform(-0.1, 1.1, (count, 1)) * n, (0.05 + 1.3 * depth + rng.normal(0, 0.08, (count, 1))) * n
    tall = rng.uniform(0.22, 0.42) * n * (0.5 + 0.6 * depth) * rng.uniform(0.7, 1.3, (count, 1))
    bend = tall * (rng.normal(0, 0.3) + rng.normal(0, 0.35, (count, 1)))
    wide = rng.uniform(0.009, 0.02) * n * (0.5 + 0.6 * depth)
    sideways = np.array([-1, -0.7, 0, 0.7, 1]) * wide + np.array([0, 0.3, 1, 0.3, 0]) * bend
    shapes = np.stack([x + sideways, y - np.array([0, 0.6, 1, 0.6, 0]) * tall], axis=-1)
    tip = s.colour(GREEN, GREEN, OLIVE, STRAW, BUFF).ravel()
    tints = tip * rng.uniform(0.45, 1.15, (count, 1)) * rng.normal(1, 0.07, (count, 3))
    return _painted(s.colour(OLIVE, BROWN, GREEN) * 0.45 + 0 * s.u, shapes, tints)


@_seen_by(View(span=(1.8, 4.0)))
def marble(s: Surface) -> Field:
    ground = s.colour(WHITE, WHITE, CREAM, SILVER, CHARCOAL, SLATE, RUST, BUFF)
    vein = s.colour(GREY, SLATE, BROWN, BUFF)
    if np.abs(ground - vein).sum() < 0.7:
        vein = s.colour(WHITE, CREAM) if ground.mean() < 0.5 else s.colour(CHARCOAL, SLATE)
    bent = s.bent(0.16, 1.0)
    thick = np.exp(-np.abs(bent.noise(0.6, 1.3)) / s.rng.uniform(0.06, 0.14)) * step(-1.8, 0.8, s.noise(0.8))
    thin = np.exp(-np.abs(bent.noise(1.1, 2.4)) / 0.07) * step(-1.0, 0.8, s.noise(0.8))
    cloud = 0.15 + 0.13 * bent.noise(0.8, octaves=4)
    return mix(ground, vein, np.clip(cloud + 0.8 * thick + 0.6 * thin, 0, 1))


@_seen_by(View(span=(2.5, 5.5)))
def metal(s: Surface) -> Field:
    base = s.colour(SILVER, SILVER, GREY, SLATE, CHARCOAL, RUST, BUFF) * 0.85
    streaks = s.noise(0.4, 14)
    sheen = np.sin(s.rng.uniform(0.6, 1.5) * s.u + s.rng.uniform(0, 6.3) + 0.3 * s.noise(0.2, octaves=1))
    plated = s.rng.random() < 0.6
    height = soft((_lozenges(s) if plated else _rivets(s)) + 0.015 * streaks, 0.005)
    relief = s.lit(height, 1.2)
    shade = 1 + (0.05 if plated else 0.09) * streaks + 0.22 * np.abs(sheen) ** 3
    return base * (shade * relief) + 0.35 * np.clip(relief - 1.25, 0, 1)


def _lozenges(s: Surface) -> Field:
    (i, fu), (j, fv) = frac((s.u + s.v) * 1.3), frac((s.u - s.v) * 1.3)
    flip = (i + j) % 2 > 0
    along, across = np.where(flip, fu, fv) - 0.5, np.where(flip, fv, fu) - 0.5
    return np.clip(1.2 - (along / 0.44) ** 2 - np.abs(across / 0.13), 0, 0.6)


def _rivets(s: Surface) -> Field:
    seam = to_edge(frac(s.v * 0.45)[1])
    fu, fv = frac(s.u * 2)[1] - 0.5, (seam - 0.12) / 0.225
    return 0.4 * step(0.0, 0.03, seam) + 0.8 * np.sqrt(np.clip(0.06 - fu**2 - fv**2, 0, 1))


@_seen_by(View(span=(4, 10)))
def sand(s: Surface) -> Field:
    t = frac(s.v + 0.28 * s.noise(0.35) + 0.05 * s.noise(1.5))[1]
    ripple = np.minimum(t / 0.7, (1 - t) / 0.3) * step(-1.6, 0.6, s.noise(0.25))
    grain = s.rng.standard_normal(t.shape, np.float32)
    relief = s.lit(soft(ripple, 0.01) + 0.05 * s.noise(5), s.rng.uniform(0.8, 1.8))
    drawn: Field = s.colour(BUFF, BUFF, CREAM, OAK, GREY, RUST, BROWN) * (relief * (1 + 0.09 * grain))
    return drawn


@_seen_by(View(span=(1.0, 2.2), turn=0.2, tilt=0.2, lean=0.7))
def sky(s: Surface) -> Field:
    down = np.linspace(0, 1, len(s.u), dtype=np.float32)[:, None] ** s.rng.uniform(1, 2.5)
    air = mix(s.colour(BLUE, BLUE, AZURE, SLATE, NAVY), s.colour(AZURE, AZURE, SILVER, CREAM, BUFF), down)
    bent = s.bent(0.04, 3)
    body = bent.noise(1.2, 2.2, octaves=5)
    cover = s.rng.uniform(-0.7, 0.8)
    cloud = step(cover, cover + s.rng.uniform(0.7, 1.8), body)
    thick = step(cover + 0.5, cover + 2.8, body + 0.4 * bent.noise(2))
    return mix(
        air, mix(s.colour(WHITE, WHITE, CREAM) * 1.08, s.colour(SILVER, GREY, SLATE), thick), 0.95 * cloud
    )


@_seen_by(View(span=(3.0, 6.5), turn=0.3))
def stone(s: Surface) -> Field:
    gap, tone, hue = _cells(replace(s, v=s.v * s.rng.uniform(1.0, 1.9)).bent(0.07, 2))
    rough = s.noise(5, octaves=5)
    body = mix(
        s.colour(GREY, SLATE, SILVER, BROWN, BUFF),
        s.colour(GREY, BROWN, RUST, OAK),
        0.7 * step(-0.6, 1.6, hue),
    )
    joint = s.colour(CHARCOAL, CHARCOAL, BROWN, GREY) * 0.7
    height = 0.8 * np.sqrt(np.minimum(gap, 0.5)) + 0.05 * rough
    return mix(joint, body * (1 + 0.17 * tone + 0.1 * rough), step(0.03, 0.16, gap)) * s.lit(height, 0.9)


def _cells(s: Surface) -> tuple[Field, Field, Field]:
    """Make cells around random seeds (Worley, SIGGRAPH 1996). Returns how much further the second-nearest seed is than
    the nearest seed, and two normal deviates for each cell."""
    seed_u, seed_v = s.rng.uniform(0.1, 0.9, (2, 4096)).astype(np.float32)
    (i, fu), (j, fv) = frac(s.u), frac(s.v)
    i, j = i.astype(np.int32), j.astype(np.int32)
    first, second, cell = np.full_like(fu, 9), np.full_like(fu, 9), np.zeros_like(i)
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            at = (((i + di) & 63) << 6) + ((j + dj) & 63)
            away = (seed_u.take(at) + (di - fu)) ** 2 + (seed_v.take(at) + (dj - fv)) ** 2
            np.copyto(cell, at, where=away < first)
            second = np.minimum(second, np.maximum(first, away))
            first = np.minimum(first, away)
    tone, hue = s.rng.standard_normal((2, 4096), np.float32)
    return np.sqrt(second) - np.sqrt(first), tone.take(cell), hue.take(cell)


@_seen_by(View(span=(2.3, 5.5)))
def tile(s: Surface) -> Field:
    (i, fu), (j, fv) = frac(s.u), frac(s.v)
    edge = np.minimum(to_edge(fu), to_edge(fv))
    a, b = np.abs(fu - 0.5), np.abs(fv - 0.5)
    motifs = [
        (i + j) % 2,
        step(0, 0.02, 0.3 - a - b),
        step(0, 0.02, 0.05 - np.abs(np.hypot(0.5 - a, 0.5 - b) - 0.33)),
    ]
    pattern = [*motifs, 0 * a, 0 * a][s.rng.integers(5)]
    glaze = s.colour(CREAM, WHITE, AZURE, BLUE, TEAL, GREY, SLATE, RUST, BUFF)
    glazed = mix(glaze, s.colour(BLUE, NAVY, WHITE, CHARCOAL, RED, TEAL, OLIVE), 0.85 * pattern)
    gleam = s.rng.uniform(0.0, 0.3) * step(0.6, 2.0, s.noise(0.25, octaves=1) + 0.3 * s.per_cell(i, j))
    glazed = glazed * (1 + 0.05 * s.per_cell(i, j) + 0.02 * s.noise(2)) + gleam
    grout = s.colour(WHITE, SILVER, GREY, CHARCOAL) * (1 + 0.05 * s.noise(8))
    return mix(grout, glazed, step(0.02, 0.045, edge)) * s.lit(step(0.02, 0.09, edge), 0.6)


@_seen_by(View(span=(6.0, 11.0), turn=0.12, tilt=0.2, lean=1.1))
def water(s: Surface) -> Field:
    bent = s.bent(0.12, 0.8)
    waves, crest = bent.noise(0.45, 1.9), 1 - np.abs(bent.noise(0.6, 2.4, octaves=2))
    deep, bright = s.colour(TEAL, NAVY, BLUE, SLATE, OLIVE) * 0.8, s.colour(AZURE, SILVER, AZURE, TEAL)
    body = mix(deep, bright, 0.9 * step(-1.0, 2.4, waves + 0.5 * crest))
    glint = s.rng.uniform(0.15, 0.5) * step(1.9, 2.6, waves + 0.8 * crest)
    return body * s.lit(0.3 * waves, 0.9) + glint


@_seen_by(View(span=(1.6, 4.0)))
def wood(s: Surface) -> Field:
    plank, fv = frac(s.v)
    along = s.u + 7 * s.per_cell(plank, plank)
    joint, fu = frac(along * s.rng.uniform(0.15, 0.35))
    grained = replace(s, u=along, v=s.v + 0.37 * plank)
    rings = grained.v + 0.13 * grained.noise(0.35, 1.2, octaves=2)
    for knot in s.rng.integers(s.u.size, size=3).tolist():
        away = ((s.u - s.u.flat[knot]) / 0.22) ** 2 + ((s.v - s.v.flat[knot]) / 0.1) ** 2
        rings = rings + 0.3 * np.exp(-away)
    band = frac(rings * s.rng.uniform(4, 8))[1]
    late = band**2 * (1 - step(0.9, 1.0, band)) * s.rng.uniform(0.25, 0.5)
    shade = (1 - late) * (1 + 0.06 * grained.noise(1.5, 28, octaves=2) + 0.09 * s.per_cell(plank, joint))
    seam = 0.35 + 0.65 * step(0.008, 0.03, np.minimum(to_edge(fv), to_edge(fu) * 4))
    drawn: Field = s.colour(OAK, OAK, BROWN, RUST, BUFF, GREY, SILVER) * (shade * seam)
    return drawn
