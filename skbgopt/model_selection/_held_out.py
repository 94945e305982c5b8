"""Settings judged on the sky of held-out blocks of an image: `cross_val_score_image`."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from scipy.ndimage import uniform_filter
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import HasMethods, validate_parameter_constraints

from .._validation import unwrap_image
from ..diagnosis import without_warnings
from ..masks import PixelSelection
from ..metrics import sky_cost
from ..preparation import FitUnits, PreparedImage, prepare_image, sample_tiles, tile_samples
from ..stretch import MidtonesCurve
from ._block_kfold import check_cv

# Trials see no more reduced pixels than about so many: every other row and column of a large image, or fewer, tell as
# much of a sky that is smooth.
_TRIAL_PIXELS = 1 << 15
# Side of the blocks that are judged, and of so many along the shorter side at least.
_FACTOR = 8
_LEAST_BLOCKS = 16
# Side, in such blocks, of the averages that are judged (docs/search_score.md).
_WINDOW = 3
# Usable blocks for each control point of the reference fit, which tiny images limit.
_BLOCKS_PER_POINT = 4
# Of the model's range; that is far below the noise of a block.
_TOLERANCE = 1e-4

Scoring = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray], float]
Value = TypeVar("Value")


def held_out_score(
    values: np.ndarray, background: np.ndarray, weights: np.ndarray, block_noise: np.ndarray, sky: np.ndarray
) -> float:
    """Return how well a background meets the sky of held-out blocks.

    Minus the mean of sky_cost, of skbgopt.metrics, of residuals averaged over 3 x 3 blocks, in units of the noise of
    such averages: 0 is all sky, -1/10 if all of it lies above the model, -1 if all of it lies below. Averages show what
    hangs together, which noise does not.

    Parameters
    ----------
    values, background, weights : ndarray of shape (n_rows, n_columns, n_channels)
        Medians of 8 x 8 pixels in linear units, the model there, and how much each counts (0 = not held out).
    block_noise : ndarray of shape (n_channels,)
        Standard deviation of such a median of the sky.
    sky : ndarray of bool, shape (n_rows, n_columns)
        Held-out pixels that show no object.

    Returns
    -------
    float
        Higher is better.
    """
    shares = np.where(sky[:, :, None], weights, 0)
    sigmas = np.where(shares > 0, (values - background) / block_noise, 0)
    window = (_WINDOW, _WINDOW, 1)
    averages = uniform_filter(sigmas * shares, window, mode="constant")
    averages /= np.maximum(uniform_filter(shares, window, mode="constant"), np.finfo(shares.dtype).eps)
    return -float(np.average(sky_cost(_WINDOW * averages), weights=shares))


class FoldScore(NamedTuple):
    """Score of one fold, and the seconds that fit and score took."""

    score: float
    fit_time: float
    score_time: float


class Preparations:
    """An image prepared for estimators of any setting: what a setting leaves as it is, is computed once."""

    def __init__(self, X, mask, sample_weight):
        self._given = X, mask, sample_weight
        self._kept: dict[Hashable, Any] = {}
        # Those of a fit to the image, which trials need not find for themselves.
        self.units: FitUnits | None = None

    def prepare(self, estimator, thinned: bool = False) -> PreparedImage:
        """Return what ``estimator.prepare`` returns, or what a trial sees of it."""
        prepared = self.within_no_thresholds(estimator, thinned)
        if thinned and self.units is not None and np.array_equal(self.units.curve.scale, prepared.block_noise):
            prepared = replace(prepared, units=self.units)
        return prepared.within_thresholds(estimator.threshold_min, estimator.threshold_max)

    def within_no_thresholds(self, estimator, thinned: bool = False) -> PreparedImage:
        """Return the same before any threshold is applied."""
        estimator._validate_params()
        missing, factor, func = estimator.missing_values, int(estimator.downscale_factor), estimator.downscale_func
        selection = self._once(
            missing, lambda: PixelSelection.from_input(*self._given, missing, type(estimator).__name__)
        )

        def reduce(sky_only: bool) -> PreparedImage:
            return prepare_image(
                selection,
                quantile=estimator.quantile,
                downscale_factor=factor,
                downscale_func=func,
                sky_only=sky_only,
            )

        reduced = self._once((missing, factor, func), lambda: reduce(True))
        # Elsewhere than in crowded fields, and without a dark border, it is the same for all settings.
        if reduced.sky_only and not estimator._fit_settings().masks_objects:
            reduced = self._once((missing, factor, func, "all"), lambda: reduce(False))
        # The quantile moves nothing but the curve.
        samples = self._once((missing, "samples"), lambda: tile_samples(sample_tiles(selection)))
        if thinned:
            stride = max(1, round((reduced.usable.size / _TRIAL_PIXELS) ** 0.5))
            reduced = reduced.every(stride, stride)
        return replace(reduced, curve=MidtonesCurve.from_samples(samples, estimator.quantile))

    def _once(self, key: Hashable, compute: Callable[[], Value]) -> Value:
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]


@dataclass(frozen=True)
class HeldOutImage:
    """An image with all that settings are compared by, the same for each of them.

    Attributes
    ----------
    preparations : Preparations
    grid : PreparedImage
        What is judged: blocks of a fixed size.
    reference : BackgroundSplineRegressor
        With default parameters, fitted to the whole image; its objects are not judged.
    folds : list of (ndarray, ndarray)
        Maps of the grid: what is fitted, what is held out.
    """

    preparations: Preparations
    grid: PreparedImage
    reference: Any
    folds: list[tuple[np.ndarray, np.ndarray]]

    @property
    def objects(self) -> np.ndarray:
        """Where the reference found objects, shape (n_rows, n_columns)."""
        return np.asarray(self.reference.object_mask_)

    @without_warnings()
    def score(self, estimator, fold: int, scoring: Scoring) -> FoldScore:
        """Fit the estimator without a fold and return its score there."""
        start = time.perf_counter()
        train, test = self.folds[fold]
        prepared = self.preparations.prepare(estimator, thinned=True)
        fitted_pixels = _resized(train, prepared.usable.shape)[:, :, None]
        fitted = estimator.fit_prepared(replace(prepared, weights=np.where(fitted_pixels, prepared.weights, 0)))
        between = time.perf_counter()
        held_out = self.grid.usable & test
        sky = held_out & ~self.objects
        score = scoring(
            self.grid.values,
            background_on_grid(fitted, self.grid),
            np.where(test[:, :, None], self.grid.weights, 0),
            self.grid.block_noise,
            # A fold that objects fill is judged on all that it has, the same for every setting.
            sky if sky.any() else held_out,
        )
        return FoldScore(_as_number(score), between - start, time.perf_counter() - between)

    @without_warnings()
    def absorbed_light(self, estimator) -> float:
        """Return the share of the objects' light that the estimator's background takes up, in [0, 1].

        The light is what lies above the reference background in the reference mask of the objects.
        """
        fitted = estimator.fit_prepared(self.preparations.prepare(estimator, thinned=True))
        weights = np.where(self.objects[:, :, None], self.grid.weights, 0) / self.grid.block_noise
        light = np.maximum(self.grid.values - background_on_grid(self.reference, self.grid), 0)
        left = np.maximum(self.grid.values - background_on_grid(fitted, self.grid), 0)
        total = (weights * light).sum()
        return float((weights * np.maximum(light - left, 0)).sum() / total) if total > 0 else 0.0


def _as_number(score) -> float:
    try:
        return float(score)
    except (TypeError, ValueError) as error:
        raise TypeError(f"The 'scoring' parameter must return a number, higher is better. Got {score!r}.") from error


def check_arguments(estimator, scoring, who: str) -> None:
    """Raise ValueError unless the estimator fits prepared images and the score can be called."""
    refuse_other_estimators(estimator, who)
    constraints = {"estimator": [HasMethods(["prepare", "fit_prepared"])], "scoring": [callable, None]}
    validate_parameter_constraints(constraints, {"estimator": estimator, "scoring": scoring}, who)


def refuse_other_estimators(estimator, who: str) -> None:
    """Raise ValueError, with the way out, for a Pipeline or a class in the place of an estimator."""
    got = None
    if isinstance(estimator, Pipeline):
        got = "a Pipeline: take its last step alone; a search of that can stand in its place"
    elif isinstance(estimator, type):
        got = f"the class: call it, as in {estimator.__name__}()"
    if got is not None:
        raise ValueError(f"The 'estimator' parameter of {who} must be a BackgroundSplineRegressor, got {got}.")


@without_warnings()
def hold_out_blocks(estimator, X, mask, sample_weight, cv) -> HeldOutImage:
    """Prepare an image for the comparison of settings.

    Raises
    ------
    ValueError
        If a parameter, shape or weight is out of range, too little usable sky is left, or a fold is empty.
    """
    preparations = Preparations(X, mask, sample_weight)
    reference = reference_estimator(estimator, image_shape(X))
    everything = preparations.within_no_thresholds(reference, thinned=True)
    grid = preparations.prepare(reference, thinned=True)
    n_usable = int(grid.usable.sum())
    reference.n_control_points = min(reference.n_control_points, max(1, n_usable // _BLOCKS_PER_POINT))
    reference.fit_prepared(grid)
    preparations.units = getattr(reference, "_units", None)
    folds = [
        _checked_fold(k, train, test, grid)
        for k, (train, test) in enumerate(cv.split(everything.values, ~everything.usable))
    ]
    if not folds:
        raise ValueError("A search takes at least one fold of held-out pixels, got none from cv: give it more.")
    return HeldOutImage(preparations, grid, reference, folds)


def reference_estimator(estimator, shape: tuple[int, ...]):
    """Return an estimator with default parameters, which all settings of an image are compared on."""
    factor = max(1, min(_FACTOR, min(shape[:2], default=0) // _LEAST_BLOCKS))
    return type(estimator)(missing_values=estimator.missing_values, downscale_factor=factor, device=estimator.device)


def image_shape(X) -> tuple[int, ...]:
    """Return the shape of an image, whatever carries it."""
    return np.asarray(unwrap_image(X)[0]).shape


def _checked_fold(k: int, train, test, grid: PreparedImage) -> tuple[np.ndarray, np.ndarray]:
    maps = [np.asarray(part) for part in (train, test)]
    height, width = grid.frame.height, grid.frame.width
    if not all(part.dtype == bool and _is_likeness(part.shape, height, width) for part in maps):
        raise ValueError(
            "The folds of an image are pairs of boolean maps (train, test) of its shape (height, width) = "
            f"{height, width}, or reduced, got {' and '.join(f'{part.dtype} of shape {part.shape}' for part in maps)}: "
            "use ImageBlockKFold."
        )
    train, test = (_resized(part, grid.usable.shape) for part in maps)
    if not (test & grid.usable).any():
        raise ValueError(f"Fold {k} holds out no usable pixel: take fewer folds, or exclude less.")
    return train, test


def _is_likeness(shape: tuple[int, ...], height: int, width: int) -> bool:
    """Whether a map has the proportions of an image, to a pixel of the map."""
    return len(shape) == 2 and min(shape) > 0 and abs(shape[0] * width - shape[1] * height) <= max(height, width)


def _resized(belongs: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a map on a grid of another shape."""
    rows, columns = (
        ((np.arange(n) + 0.5) * length / n).astype(int) for n, length in zip(shape, belongs.shape, strict=True)
    )
    return belongs[np.ix_(rows, columns)]


def background_on_grid(fitted, grid: PreparedImage) -> np.ndarray:
    """Return a fitted background at the centres of the blocks, shape (n_rows, n_columns, n_channels).

    In the last row and column, whose blocks may be cut off, up to half a block further out.
    """

    def axes(rows, columns):
        return _along(grid.y, rows), _along(grid.x, columns)

    return fitted._evaluate(axes, grid.usable.shape, _TOLERANCE).render(np.float64)


def _along(centres: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Return coordinates of positions along an axis of blocks (a block's centre is at k + 1/2)."""
    step = centres[1] - centres[0] if len(centres) > 1 else 0.0
    return centres[0] + step * (positions - 0.5)


def cross_val_score_image(estimator, X, *, mask=None, sample_weight=None, cv=None, scoring=None) -> np.ndarray:
    """Score an estimator on held-out blocks of an image.

    The image is reduced once; each fit goes without the blocks of one fold and is judged on their sky. What shows
    an object in a fit with default parameters to the whole image is not judged: no model gains by following nebulae,
    nor by masking what it misses. So scores of any two settings can be compared.

    Parameters
    ----------
    estimator : BackgroundSplineRegressor
    X : array-like of shape (height, width) or (height, width, n_channels)
        Linear image.
    mask : array-like of bool, shape (height, width), optional
        True = excluded.
    sample_weight : array-like of shape (height, width) or X's, optional
        In [0, 1], 1 = use fully.
    cv : None, int, ImageBlockKFold or iterable of (train, test), default=None
        None for 3 folds of blocks. Maps are boolean, True = belongs, of the image's shape or a reduced one.
    scoring : callable, default=None
        Takes (values, background, weights, block_noise, sky) as `skbgopt.model_selection.held_out_score`, which is
        taken for None, and returns a number, higher is better.

    Returns
    -------
    ndarray of shape (n_splits,)
        From -1 (no held-out sky is met) to 0 (all of it).

    Raises
    ------
    ValueError
        If a parameter, shape or weight is out of range, too little usable sky is left, or a fold is empty.

    Examples
    --------
    >>> from skbgopt import BackgroundSplineRegressor, make_sky_image
    >>> from skbgopt.model_selection import cross_val_score_image
    >>> image = make_sky_image("oiii", shape=(160, 240), random_state=0).image
    >>> stiff, good = (
    ...     cross_val_score_image(BackgroundSplineRegressor(smoothing=smoothing, order=2), image).mean()
    ...     for smoothing in (1e6, 1e-3)
    ... )
    >>> bool(stiff < good)
    True
    """
    check_arguments(estimator, scoring, "cross_val_score_image")
    held_out = hold_out_blocks(estimator, X, mask, sample_weight, check_cv(cv))
    scoring = held_out_score if scoring is None else scoring
    return np.array([held_out.score(clone(estimator), k, scoring).score for k in range(len(held_out.folds))])
