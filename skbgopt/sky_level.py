"""Where the sky lies among the residuals of a fitted background, and how sure that is.

The loss leaves a background below the middle of the sky's pixels on purpose. They in turn lie above the sky: light
of faint stars lifts the medians of the blocks. It lifts some more than others, and only upwards, so it skews their
distribution, and the skewness tells how much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

# What stars lift the median of the sky's residuals by, over their skewness.
_LIFT = 1.8
# Standard error of that ratio, between fields sparse and crowded.
_LIFT_ERROR = 0.25
# Standard errors of the offset of sparse fields and of the skewness of normal noise, times the root of the number
# of pixels.
_OFFSET_SAMPLING, _SKEWNESS_SAMPLING = 3.0, 2.4
# Fewer pixels of sky tell no skewness.
_LEAST_PIXELS = 50
# Windows between which the skewness is compared, and their least side in reduced pixels.
_WINDOWS, _LEAST_SIDE = 100, 12


@dataclass(frozen=True)
class SkyLevel:
    """Where the sky lies above a background; each of shape (n_channels,).

    Attributes
    ----------
    offset : ndarray
        Of the sky from the background.
    error : ndarray
        Standard error of the offset.
    unevenness : ndarray
        Scatter over the image of what faint stars lift the background by.
    """

    offset: np.ndarray
    error: np.ndarray
    unevenness: np.ndarray


def sky_level(residual: np.ndarray, sky: np.ndarray, alpha: float) -> SkyLevel:
    """Return where the sky lies above a fitted background.

    The median of the residuals less 1.8 times their skewness, upper width less lower width, from quantiles that
    neither stars nor remains of objects move much. Not higher than it would be without any star: there the
    background is the 1 / (2 + 2 alpha) quantile of the noise.

    Parameters
    ----------
    residual : ndarray of shape (n_rows, n_columns, n_channels)
        Reduced pixels less the background.
    sky : ndarray of bool, shape (n_rows, n_columns)
        Those that are sky.
    alpha : float
        Of the loss.

    Returns
    -------
    SkyLevel
        In the noise of a reduced pixel, as the residuals.
    """
    highest = -float(ndtri(1 / (2 + 2 * alpha)))
    n_channels, n_pixels = residual.shape[2], np.count_nonzero(sky)
    if n_pixels < _LEAST_PIXELS:
        return SkyLevel(np.zeros(n_channels), np.full(n_channels, max(highest, 1.0)), np.zeros(n_channels))
    middle, skewness = _middle_and_skewness(residual[sky])
    lifted = np.maximum(skewness, 0)
    offset = np.minimum(middle - _LIFT * lifted, highest)
    error = np.hypot(_LIFT_ERROR * lifted, _OFFSET_SAMPLING / np.sqrt(n_pixels))
    return SkyLevel(offset, error, _LIFT * _scatter_of_skewness(residual, sky))


def _middle_and_skewness(residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the median, and the width above it less the width below, as those of normal distributions."""
    low, middle, high = np.quantile(residual, [0.1, 0.5, 0.75], axis=0)
    return middle, (high - middle) / ndtri(0.75) - (middle - low) / ndtri(0.9)


def _scatter_of_skewness(residual: np.ndarray, sky: np.ndarray) -> np.ndarray:
    """Return the scatter of the skewness between windows, less what so few pixels scatter by."""
    found, counts = [], []
    side = max(_LEAST_SIDE, round((sky.size / _WINDOWS) ** 0.5))
    for row in range(0, sky.shape[0], side):
        for column in range(0, sky.shape[1], side):
            window = slice(row, row + side), slice(column, column + side)
            inside = residual[window][sky[window]]
            if len(inside) >= _LEAST_PIXELS:
                found.append(_middle_and_skewness(inside)[1])
                counts.append(len(inside))
    if not found:
        return np.zeros(residual.shape[2])
    skewness, share = np.array(found), np.array(counts) / sum(counts)
    variance = share @ (skewness - share @ skewness) ** 2 - _SKEWNESS_SAMPLING**2 * len(counts) / sum(counts)
    return np.sqrt(np.maximum(variance, 0))
