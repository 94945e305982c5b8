"""What several test files use."""

import numpy as np

from skbgopt import BackgroundSplineRegressor


def quick(**parameters):
    """An estimator that fits in a few hundredths of a second."""
    return BackgroundSplineRegressor(**{"smoothing": 1e-4, "n_control_points": 16, "mask_objects": False, **parameters})


def lower_half(shape):
    """A mask of the lower half."""
    mask = np.zeros(shape[:2], dtype=bool)
    mask[shape[0] // 2 :] = True
    return mask


def coordinates(frame, rows, columns, shape=None):
    """The coordinates of all pairs of positions along the two axes of a frame, shape (n_rows, n_columns, 2)."""
    return np.stack(np.meshgrid(*frame.axes(rows, columns, shape), indexing="ij"), axis=-1)
