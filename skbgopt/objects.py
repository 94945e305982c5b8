"""Extended objects: reduced pixels that lie coherently above a background."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, uniform_filter

# Residuals are averaged over windows of so many reduced pixels, so that faint extended light stands out.
_WINDOW = 5
# An object lies so many standard deviations of such averages above the sky, and reaches so many blocks further.
_SIGMAS = 3.0
_GROWTH = 2
# Bright stars must not smear over the windows around them.
_CLIP = 20.0
# The averages' sky and scatter come from these low quantiles, and no scatter below this one of independent noise
# is believed: objects only add light, so the upper part of the distribution says nothing about the sky.
_LOW, _HIGH = 0.05, 0.20
_LEAST_SCATTER = 1 / _WINDOW


def object_mask(residual_sigmas: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Return where a reduced image lies coherently above its background in any channel.

    Parameters
    ----------
    residual_sigmas : ndarray of shape (n_rows, n_columns, n_channels)
        Image less background over the noise of a reduced pixel; anything where not usable.
    usable : ndarray of bool, shape (n_rows, n_columns)

    Returns
    -------
    ndarray of bool, shape (n_rows, n_columns)
        True = object, a subset of usable.
    """
    found = np.zeros(usable.shape, dtype=bool)
    coverage = uniform_filter(usable.astype(float), _WINDOW, mode="constant")
    for c in range(residual_sigmas.shape[2]):
        channel = np.where(usable, np.clip(residual_sigmas[:, :, c], -_CLIP, _CLIP), 0)
        average = uniform_filter(channel, _WINDOW, mode="constant") / np.maximum(coverage, 1e-9)
        low, high = np.quantile(average[usable], [_LOW, _HIGH])
        # Of a normal distribution they lie 1.645 and 0.842 sigma below the middle.
        scatter = max((high - low) / 0.803, _LEAST_SCATTER)
        found |= average > high + 0.842 * scatter + _SIGMAS * scatter
    return binary_dilation(found & usable, iterations=_GROWTH) & usable
