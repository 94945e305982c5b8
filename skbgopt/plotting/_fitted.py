"""What displays ask of the estimators and images that they are made from."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..masks import PixelSelection
from ._panels import unreduced


def check_model(estimator: Any, attribute: str, who: str, *, fitted: bool = True) -> None:
    """Raise if an estimator has not what a display shows.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If it is not fitted.
    TypeError
        If it is of another kind.
    """
    if fitted:
        check_is_fitted(estimator)
    if not hasattr(estimator, attribute):
        raise TypeError(
            f"{who} takes a BackgroundSplineRegressor, got {type(estimator).__name__}, which has no {attribute!r}: "
            "pass the step of a pipeline, or the best_estimator_ of a search, that is one."
        )


def select(estimator: Any, X: Any, mask: Any, sample_weight: Any, who: str) -> PixelSelection:
    """Return an image with what excludes its pixels."""
    return PixelSelection.from_input(X, mask, sample_weight, getattr(estimator, "missing_values", 0), who)


def masked_pixels(selection: PixelSelection) -> np.ndarray | None:
    """Return the pixels that a mask or a weight of 0 excludes, shape (height, width)."""
    found = [] if selection.mask is None else [selection.mask]
    if selection.weights is not None:
        weightless = selection.weights == 0
        found.append(weightless if weightless.ndim == 2 else weightless.all(axis=2))
    return np.logical_or.reduce(found) if found else None


def object_pixels(estimator: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the pixels that a fit to an image of this shape took for objects, None if there was no such fit."""
    blocks = getattr(estimator, "object_mask_", None)
    if blocks is None or estimator.image_shape_[:2] != shape[:2]:
        return None
    return unreduced(blocks, estimator.downscale_factor, shape)


def unit_of(X: Any, unit: Any) -> str | None:
    """Return the unit given, else the one that the image brings along."""
    found = getattr(X, "unit", None) if unit is None else unit
    return None if found is None else str(found)
