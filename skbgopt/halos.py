"""Halos: around a large object lies light that no threshold shows, and it reaches further the larger the object is."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_opening, distance_transform_edt, label

from .objects import starless_light, thinned

# A large object is this many sigma of a reduced pixel bright, and nowhere narrower than so many pixels of the grid of
# starless light to either side of its middle.
_BRIGHT = 3.0
_THINNEST = 2
# A halo reaches so many times as far beyond an object as the object reaches inwards.
_REACH = 0.8
# With their halos, large objects may cover this share of the frame: where less sky is left, a background that must do
# without more of it is no better for that.
_MOST = 0.45


def halos(residual_sigmas: np.ndarray, sky: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Return where large objects and their halos are: nowhere, if they would leave too little of the sky.

    A halo reaches nearly as far beyond an object as the object reaches inwards, from its edge to the pixel that is
    farthest from it: most of a galaxy's radius beyond the galaxy, and hardly anywhere beyond a thin filament.

    Parameters
    ----------
    residual_sigmas : ndarray of shape (n_rows, n_columns, n_channels)
        Image less background over the noise of a reduced pixel; anything where not usable.
    sky : ndarray of shape (n_rows, n_columns)
        How far each reduced pixel is sky and no object, 1 to 0.
    usable : ndarray of bool, shape (n_rows, n_columns)

    Returns
    -------
    ndarray of bool, shape (n_rows, n_columns)
    """
    light, side = starless_light(residual_sigmas, usable)
    bright = (light > _BRIGHT) & (thinned(((sky < 0.5) & usable).astype(np.float32), side, "mean") > 0.5)
    # An object may go on beyond the edge of the frame.
    large = binary_opening(np.pad(bright, _THINNEST, mode="edge"), iterations=_THINNEST)
    objects, n_objects = label(large)
    if n_objects == 0:
        return np.zeros_like(usable)
    radius = np.zeros(n_objects + 1)
    np.maximum.at(radius, objects.ravel(), distance_transform_edt(large).ravel())
    distance, (row, column) = distance_transform_edt(~large, return_indices=True)
    reached = (distance <= _REACH * radius[objects[row, column]])[_THINNEST:-_THINNEST, _THINNEST:-_THINNEST]
    reached = reached.repeat(side, axis=0).repeat(side, axis=1)[: usable.shape[0], : usable.shape[1]]
    return reached if reached[usable].mean() <= _MOST else np.zeros_like(usable)
