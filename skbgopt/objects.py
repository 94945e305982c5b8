"""Extended objects: reduced pixels that lie coherently above a background."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.ndimage import generate_binary_structure, iterate_structure, median_filter, minimum_filter, uniform_filter

from .quantiles import weighted_quantiles
from .reduction import reduce_blocks

# Residuals are averaged over windows of so many reduced pixels, so that faint extended light stands out.
_WINDOW = 5
# An object lies so many standard deviations of such averages above the sky, and reaches so many blocks further.
# Between an excess of less and one of more by this many, it is an object in part.
_SIGMAS = 3.0
_RAMP = 1.0
_MOST_GROWTH = 4
# On images of few blocks it reaches less far, one for so many along the shorter side, or nothing would be left.
_BLOCKS_PER_GROWTH, _LEAST_GROWTH = 25, 2
# Bright stars must not smear over the windows around them.
_CLIP = 20.0
# The averages' sky and scatter come from these low quantiles, and no scatter below this one of independent noise
# is believed: objects only add light, so the upper part of the distribution says nothing about the sky.
_LOW, _HIGH = 0.05, 0.20
_LEAST_SCATTER = 1 / _WINDOW
# The light of objects without that of stars needs no finer grid than one of so many rows.
_ROWS = 100


def sky_weights(residual_sigmas: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return how far each reduced pixel is sky and not an object that lies coherently above it in any channel.

    Parameters
    ----------
    residual_sigmas : ndarray of shape (n_rows, n_columns, n_channels)
        Image less background over the noise of a reduced pixel; anything where the weight is 0.
    weights : ndarray of the same shape
        How much each counts in telling the sky; 0 = not usable.

    Returns
    -------
    ndarray of shape (n_rows, n_columns)
        1 = sky, 0 = object, in between on the way: a pixel must not leave the fit because of a rounding error.
        1 where not usable in any channel.
    """
    sky = np.ones(weights.shape[:2], dtype=np.float32)
    for c in range(residual_sigmas.shape[2]):
        if c == 0 or not np.array_equal(weights[:, :, c], weights[:, :, c - 1]):
            # Of any size, and what counts is their ratio.
            weight = (weights[:, :, c] / (weights[:, :, c].max() or 1)).astype(np.float32)
            usable = weight > 0
            coverage = np.maximum(uniform_filter(weight, _WINDOW, mode="constant"), np.finfo(np.float32).tiny)
        channel = np.where(usable, residual_sigmas[:, :, c], 0).astype(np.float32, copy=False)
        channel = np.clip(channel, -_CLIP, _CLIP, out=channel) * weight
        average = uniform_filter(channel, _WINDOW, mode="constant")
        average /= coverage
        low, high = weighted_quantiles(average[usable], weight[usable], [_LOW, _HIGH])
        # Of a normal distribution they lie 1.645 and 0.842 sigma below the middle.
        scatter = max((high - low) / 0.803, _LEAST_SCATTER)
        average -= high + 0.842 * scatter
        average *= -1 / (2 * _RAMP * scatter)
        average += _SIGMAS / (2 * _RAMP) + 0.5
        np.minimum(sky, np.clip(average, 0, 1, out=average), out=sky, where=usable)
    growth = min(max(min(sky.shape) // _BLOCKS_PER_GROWTH, _LEAST_GROWTH), _MOST_GROWTH)
    footprint = iterate_structure(generate_binary_structure(2, 1), growth)
    return minimum_filter(sky, footprint=footprint, mode="nearest")


def starless_light(residual_sigmas: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the light above a background without that of stars, and the side of its pixels in reduced pixels.

    Parameters
    ----------
    residual_sigmas : ndarray of shape (n_rows, n_columns, n_channels)
        Image less background over the noise of a reduced pixel; anything where not usable.
    usable : ndarray of bool, shape (n_rows, n_columns)

    Returns
    -------
    light : ndarray of shape (ceil(n_rows / side), ceil(n_columns / side))
        Medians of windows of the channels' mean, in sigma of a reduced pixel.
    side : int
    """
    side = max(min(usable.shape) // _ROWS, 1)
    mean = np.where(usable, residual_sigmas.mean(axis=2), np.nan)
    light = np.nan_to_num(thinned(mean, side, "median"))
    return median_filter(light, _WINDOW // side | 1, mode="nearest"), side


def thinned(values: np.ndarray, side: int, how: Literal["mean", "median"]) -> np.ndarray:
    """Return a map of one value for each square of so many pixels."""
    return reduce_blocks(values[:, :, None], side, how)[:, :, 0]
