"""Where the control points of a spline stand: exactly as many as asked for, on a grid or at random."""

from __future__ import annotations

import numpy as np
from scipy.stats import qmc

# Distance of the outermost points from the edge, in spacings. Farther in the model is stiff at the edges, where
# gradients are steepest: the least loss falls from 0.5 to 0.1 on most kinds of frame.
_INSET = 0.1


def grid_control_points(n_points: int, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Place exactly ``n_points`` control points evenly in a box.

    In two dimensions they stand in rows along the longer side, as near to a square lattice as their number
    allows; rows may differ by one point, symmetrically, so that flipping or transposing the box flips or
    transposes the points. In one dimension they are evenly spaced; in three and more they are a Halton
    sequence, since a lattice there has no useful number of points.

    Parameters
    ----------
    n_points : int
    low, high : ndarray of shape (d,)
        Corners of the box.

    Returns
    -------
    ndarray of shape (n_points, d)
    """
    extent = high - low
    if len(extent) == 1:
        unit = _evenly(n_points)[:, None]
    elif len(extent) == 2:
        unit = _near_square_grid(n_points, extent)
    else:
        unit = qmc.Halton(len(extent), scramble=False).random(n_points + 1)[1:]
    return low + unit * extent


def random_control_points(
    n_points: int, low: np.ndarray, high: np.ndarray, random_state: np.random.RandomState
) -> np.ndarray:
    """Place ``n_points`` control points uniformly at random in a box."""
    return low + random_state.uniform(size=(n_points, len(low))) * (high - low)


def _near_square_grid(n_points: int, extent: np.ndarray) -> np.ndarray:
    long_axis = int(extent[1] >= extent[0])
    long, short = max(extent[long_axis], 1e-300), max(extent[1 - long_axis], 1e-300)
    counts = _row_counts(n_points, np.sqrt(n_points * short / long))
    points = np.empty((n_points, 2))
    points[:, 1 - long_axis] = np.repeat(_evenly(len(counts)), counts)
    points[:, long_axis] = np.concatenate([_evenly(count) for count in counts])
    return points


def _evenly(count: int) -> np.ndarray:
    return (np.arange(count) + _INSET) / (count - 1 + 2 * _INSET)


def _row_counts(n_points: int, ideal_rows: float) -> list[int]:
    """Split n points into about ideal_rows rows whose counts read the same from both ends."""
    # An even number of rows in mirrored pairs cannot hold an odd number of points.
    allowed = [rows for rows in range(1, n_points + 1) if rows % 2 or n_points % 2 == 0]
    n_rows = min(allowed, key=lambda rows: abs(np.log(rows / max(ideal_rows, 1.0))))
    base, extra = divmod(n_points, n_rows)
    counts = np.full(n_rows, base)
    if extra % 2:
        counts[n_rows // 2] += 1
    pairs = extra // 2
    half = n_rows // 2
    for k in range(pairs):
        row = int((k + 0.5) * half / pairs)
        counts[row] += 1
        counts[n_rows - 1 - row] += 1
    return counts.tolist()
