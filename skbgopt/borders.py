"""Dark borders, where fewer frames of a stack overlap: steps that no sky has, along an edge of the image."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import median_filter

# A border ends in a step of so many sigma of a reduced pixel, and of so many times the steps of the next blocks,
_STEP, _TIMES = 10.0, 5.0
_NEXT = 5
# within this share of the image,
_DEEPEST = 0.125
# and along this share of an edge; its depth is the median of so many blocks, as a single one may be a star.
_LEAST_LENGTH = 0.25
_ALONG = 9
# A block on the step is dark in part.
_MARGIN = 1


def dark_border(sigmas: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Return where the edges of an image are cut off from it by a step.

    Parameters
    ----------
    sigmas : ndarray of shape (n_rows, n_columns)
        Reduced pixels in units of their noise.
    usable : ndarray of bool, shape (n_rows, n_columns)

    Returns
    -------
    ndarray of bool, shape (n_rows, n_columns)
    """
    known = np.where(usable, sigmas, np.nan)
    border = np.zeros(usable.shape, dtype=bool)
    # Views of the same, with each edge in turn as the first row.
    for turned, found in zip(_from_each_edge(known), _from_each_edge(border), strict=True):
        depth = _depth(turned)
        found |= np.arange(len(turned))[:, None] < depth
    return border & usable


def _from_each_edge(image: np.ndarray) -> tuple[np.ndarray, ...]:
    return image, image[::-1], image.T, image.T[::-1]


def _depth(values: np.ndarray) -> np.ndarray:
    """Return the depth of the border along the first row of an image, for each column."""
    depth = np.zeros(values.shape[1], dtype=int)
    deepest = min(round(_DEEPEST * len(values)), len(values) - _NEXT - 1)
    if deepest < 1:
        return depth
    steps = np.diff(values[: deepest + _NEXT + 1], axis=0)
    # Of the next blocks; where one is missing nothing is known.
    later = np.max([np.abs(steps[k : k + deepest]) for k in range(1, _NEXT + 1)], axis=0)
    is_end = steps[:deepest] > np.fmax(_STEP, _TIMES * later)
    is_end &= np.isfinite(later)
    ends = np.where(is_end, np.arange(1, deepest + 1)[:, None] + _MARGIN, 0).max(axis=0)
    depth = median_filter(ends, _ALONG, mode="nearest")
    return depth if np.count_nonzero(depth) >= _LEAST_LENGTH * len(depth) else np.zeros_like(depth)
