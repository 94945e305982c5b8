"""Dust that fills the frame: where it is thinnest the image is smooth, and nowhere else.

Between the clouds of a frame full of dust there is hardly any sky, and the many pixels of their fainter parts draw the
background up. But dust has structure at all sizes and the sky has none, so how rough the image is tells them apart,
faint dust too. Where it is rough nearly everywhere, the smooth places are what the background is fitted to.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import median_filter

from .reduction import reduce_blocks

# Medians of cells, so many along the shorter side, which stars hardly move, less medians of so many cells a side are
# the structure; its median over as many cells is how rough a place is.
_CELLS = 50
_LEAST_CELL = 2
_WINDOW = 7
# That median for noise of 1 sigma, times the side of a cell in reduced pixels.
_ROUGHNESS_OF_NOISE = 0.8
# Dust fills the frame where more than this share of it is so many times as rough as noise (docs/method.md has the
# figures of all kinds of frames),
_ROUGH, _MOST_ROUGH = 2.0, 0.75
# and the median of how rough it is so many times what its calmest places are, this quantile: noise that hangs together,
# or a flat that does not fit, is as rough everywhere.
_UNEVEN, _CALMEST = 2.0, 0.05
# On fewer windows a side the objects that any frame has would fill it.
_LEAST_WINDOWS = 2
# A place counts as this power of its roughness.
_POWER = -4


def calm_sky(residual_sigmas: np.ndarray, usable: np.ndarray) -> np.ndarray | None:
    """Return how much each reduced pixel counts where dust fills the frame, None where it does not.

    Parameters
    ----------
    residual_sigmas : ndarray of shape (n_rows, n_columns, n_channels)
        Image less background over the noise of a reduced pixel; anything where not usable.
    usable : ndarray of bool, shape (n_rows, n_columns)

    Returns
    -------
    ndarray of shape (n_rows, n_columns), or None
        From 1 (no rougher than noise) towards 0.
    """
    if min(usable.shape) < _LEAST_WINDOWS * _WINDOW * _LEAST_CELL:
        return None
    rough = roughness(residual_sigmas, usable)
    least, calmest, middle = np.quantile(rough[usable], [1 - _MOST_ROUGH, _CALMEST, 0.5])
    if least <= _ROUGH or middle <= _UNEVEN * calmest:
        return None
    return np.asarray(np.maximum(rough, 1.0) ** _POWER)


def roughness(residual_sigmas: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Return how rough an image is around each reduced pixel, shape (n_rows, n_columns); noise is 1 rough."""
    n_rows, n_columns, n_channels = residual_sigmas.shape
    cell = max(min(n_rows, n_columns) // _CELLS, _LEAST_CELL)
    sigmas = np.where(usable, residual_sigmas.mean(axis=2) * n_channels**0.5, np.nan)[:, :, None]
    cells = np.nan_to_num(reduce_blocks(sigmas, cell, "median")[:, :, 0])
    structure = np.abs(cells - median_filter(cells, _WINDOW, mode="reflect"))
    rough = median_filter(structure, _WINDOW, mode="reflect") * (cell / _ROUGHNESS_OF_NOISE)
    return rough.repeat(cell, axis=0).repeat(cell, axis=1)[:n_rows, :n_columns]
