"""Fit a linear head: multinomial logistic regression on standardised features, in float64, without a framework.

The loss of a head with kernel W (K, C) and bias b on N photos is

    mean over photos of -log p(class of the photo) + strength / 2 x the sum of W's squares

where W and b take standardised features: minus their mean, over their standard deviation, of the training photos.
scikit-learn's `LogisticRegression(C=1 / (strength * N))` on `StandardScaler`'s output has the same optimum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from matlens.errors import ModelError
from matlens.models.head import Dense, Head, Pooling
from matlens.training.probe.blocks import Standardised, StandardisedRows, blocks_of, raw_blocks
from matlens.types import Array, Floats, Labels, Rows

STRENGTHS = tuple(float(f"{10 ** (-step / 2):.3g}") for step in range(11))
"""Strengths of the L2 penalty that are tried: 1 to 1e-5, two a decade, the strongest first."""

TOLERANCE = 1e-5
"""How far the loss may lie above its optimum, as the gradient tells: a loss whose curvature is at least m lies at most
|gradient|^2 / 2m above it (Boyd and Vandenberghe 2004, section 9.1.2). m is `strength`, which curves the loss in each
direction of the kernel; the bias has no penalty, and where `strength` is larger m is `_OF_BIAS`."""

_OF_BIAS = 0.01
"""The curvature by the bias that is reckoned with: that of a class of one photo in a hundred."""

_MOST_STEPS = 2000
_MEMORY = 20
"""Pairs of steps and gradients that L-BFGS remembers; SciPy's 10 takes some more passes."""

_ONE_THREAD = 100_000_000
"""Products in a pass below which one thread computes it: several wait for each other longer than they compute, most of
all beside other work. TrashNet's features (1,768 x 1,280, six classes) take 14 million, MINC-2500's 1.4 billion."""

_WIDE = 1.25
"""Features for each photo from which on they are turned into a basis of as many directions as photos: a pass over 1,768
photos x 3,504 features then takes 20 ms in place of 27, and turning them as long as some ten passes."""

_NOTHING, _FEW = 1e-10, 4096
"""The share of the mean square that is added to each photo's; and photos whose products one thread computes."""

_CONSTANT = 1e-6
"""A deviation below this share of a feature's size is float32's rounding, and the feature counts as constant."""


@dataclass(frozen=True)
class Standardisation:
    """mean, deviation: (K,) float64, of the training photos. A constant feature has the deviation infinity: 0 always.
    """

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, features: Rows) -> Standardisation:
        """Measure features (N, K). Raises ModelError where one is no finite number."""
        whole = features if isinstance(features, np.ndarray) else None
        mean = whole.mean(axis=0, dtype=np.float64) if whole is not None else np.sum(
            [block.sum(axis=0, dtype=np.float64) for _, block in raw_blocks(features)], axis=0) / features.shape[0]
        if not np.isfinite(mean).all():
            raise ModelError(f"{np.count_nonzero(~np.isfinite(mean))} of {len(mean)} features of the frozen trunk are "
                             "not finite numbers for some photo, so no linear head can be fitted on them. Look at the "
                             "photos with matlens data audit, or begin with other weights (--weights-dir).")
        deviation = whole.std(axis=0, dtype=np.float64) if whole is not None else np.sqrt(np.sum(
            [((block - mean) ** 2).sum(axis=0) for _, block in raw_blocks(features)], axis=0) / features.shape[0])
        largest = np.max([np.abs(block).max(axis=0) for _, block in (
            raw_blocks(features) if whole is None else [(slice(None), whole)])], axis=0).astype(np.float64)
        return cls(mean, np.where(deviation > _CONSTANT * largest, deviation, np.inf))

    def applied(self, features: Array) -> Floats:
        """Return features (N, K) standardised, float64."""
        standard: Floats = features - self.mean
        standard /= self.deviation  # in place: in float64 another copy of MINC-2500's takes 0.4 GB
        return standard

    def applied_later(self, features: Rows) -> StandardisedRows:
        """Return features (N, K) that are standardised whenever they are read."""
        return StandardisedRows(features, self.mean, self.deviation)

    def folded(self, fitted: Linear, pooling: Pooling = "avg", places: int | None = None) -> Head:
        """Return the head that takes features as they are, and answers what `fitted` does of standardised ones."""
        kernel = fitted.kernel / self.deviation[:, None]
        bias = fitted.bias - self.mean @ kernel
        return Head(pooling, (Dense(kernel.astype(np.float32), bias.astype(np.float32), "softmax"),), places)


@dataclass(frozen=True)
class Linear:
    """A linear head in float64. kernel (K, C), bias (C,), for standardised features.

    passes: over the training photos, to fit it.
    """

    kernel: Floats
    bias: Floats
    passes: int = 0

    def log_probabilities(self, features: Standardised) -> Floats:
        """Return the logarithms of probabilities (N, C) from standardised features (N, K)."""
        return np.concatenate([_log_softmax(block @ self.kernel + self.bias) for _, block in blocks_of(features)])


def fit(features: Standardised, labels: Labels, strength: float, start: Linear, weights: Array | None = None) -> Linear:
    """Fit a linear head by L-BFGS.

    Args:
        features: (N, K), standardised. labels: (N,), from 0 to C - 1.
        strength: of the penalty, above 0.
        start: a head to begin from; the optimum does not depend on it.
        weights: (N,) at least 0, how much each photo counts; the mean is over these. None: equally.
    """
    from scipy.optimize import OptimizeResult, minimize
    from threadpoolctl import threadpool_limits

    share = np.full(len(labels), 1 / len(labels)) if weights is None else np.asarray(
        weights, dtype=np.float64) / np.sum(weights, dtype=np.float64)
    shape = (len(start.kernel) + 1, len(start.bias))
    slope, passes = np.zeros(shape), 0

    def loss_and_slope(values: Floats) -> tuple[float, Floats]:
        nonlocal slope, passes
        passes += 1
        kernel, bias = values.reshape(shape)[:-1], values.reshape(shape)[-1]
        loss, slope = strength / 2 * (kernel**2).sum(), np.vstack([strength * kernel, np.zeros(shape[1])])
        for here, block in blocks_of(features):
            logs, own = _log_softmax(block @ kernel + bias), labels[here]
            error, rows = np.exp(logs), np.arange(len(own))
            error[rows, own] -= 1
            error *= share[here, None]
            slope[:-1] += block.T @ error
            slope[-1] += error.sum(axis=0)
            loss -= share[here] @ logs[rows, own]
        return float(loss), slope.ravel()

    def stop_at_optimum(intermediate_result: OptimizeResult) -> None:
        if (slope**2).sum() <= 2 * min(strength, _OF_BIAS) * TOLERANCE:
            raise StopIteration

    threads = 1 if features.size * shape[1] < _ONE_THREAD else None
    with threadpool_limits(threads, user_api="blas"):
        found: Any = minimize(loss_and_slope, np.vstack([start.kernel, start.bias]).ravel(), jac=True,
                              method="L-BFGS-B", callback=stop_at_optimum, options={
                                  "maxiter": _MOST_STEPS, "maxfun": 2 * _MOST_STEPS, "maxcor": _MEMORY, "ftol": 0.0,
                                  "gtol": 0.0})
    values = found.x.reshape(shape)
    return Linear(values[:-1], values[-1], passes)


def fits(features: Standardised, labels: Labels, classes: int, strengths: Sequence[float] = STRENGTHS,
         weights: Array | None = None) -> Iterator[Linear]:
    """Yield a linear head for each strength, the strongest first; each fit begins where the one before ended.

    The first begins at the classes' shares, each of which counts one photo more than there are: a class without a
    training photo is then improbable, not impossible.
    """
    counts = np.bincount(labels, weights, minlength=classes) + 1
    wide = not isinstance(features, StandardisedRows) and features.shape[1] > _WIDE * len(features)
    turned = _Turned.of(np.asarray(features)) if wide else None
    given = features if turned is None else turned.photos
    head = Linear(np.zeros((given.shape[1], classes)), np.log(counts / counts.sum()))
    for strength in sorted(strengths, reverse=True):
        head = fit(given, labels, strength, head, weights)
        yield head if turned is None else turned.back(head)


@dataclass(frozen=True)
class _Turned:
    """Features in a basis of as many directions as there are photos; no kernel of any use has others.

    The products of all pairs of photos are the same, and so are the losses: the optimal kernel is a sum of the photos,
    and its square is that of its coordinates (Schoelkopf, Herbrich, Smola 2001: A Generalized Representer Theorem).

    features: (N, K), as they were. photos: (N, N), lower triangular: the Cholesky factor of features @ features.T.
    """

    features: Floats
    photos: Floats

    @classmethod
    def of(cls, features: Floats) -> _Turned:
        """Turn features (N, K)."""
        from scipy.linalg import cholesky
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1 if len(features) <= _FEW else None, user_api="blas"):
            products = features @ features.T
            # Copies of a photo, and means of 0, leave directions in which there is nothing.
            products[np.diag_indices(len(products))] += _NOTHING * max(np.trace(products) / len(products), 1.0)
            return cls(features, cholesky(products, lower=True, overwrite_a=True, check_finite=False))

    def back(self, head: Linear) -> Linear:
        """Return the head that answers of `features` what `head` does of `photos`."""
        from scipy.linalg import solve_triangular

        shares = solve_triangular(self.photos, head.kernel, lower=True, trans="T", check_finite=False)
        return replace(head, kernel=self.features.T @ shares)


def _log_softmax(logits: Floats) -> Floats:
    logits = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
