"""Floats as integers: pedestal, dither, rounding, and a count of what does not fit."""

from __future__ import annotations

import numpy as np

_ROWS_AT_ONCE = 256


def to_integers(
    image: np.ndarray,
    dtype: np.dtype | str,
    *,
    scale: float = 1.0,
    pedestal: float = 0.0,
    missing_values: float | None = 0.0,
    random_state: int = 0,
) -> tuple[np.ndarray, int]:
    """Round ``image * scale + pedestal`` to integers.

    Dither of a triangular distribution, one unit to each side, comes before the rounding: without it faint
    gradients become steps that look like contours.

    Parameters
    ----------
    image : ndarray of shape (height, width) or (height, width, channels)
        Missing pixels become 0.
    dtype : numpy.dtype
        uint8, uint16 or uint32.
    scale : float, default=1.0
    pedestal : float, default=0.0
        In units of the integers. Large enough that few pixels of the sky fall below 0.
    missing_values : float or None, default=0
        The value of missing pixels beside NaN; None for none.
    random_state : int, default=0
        Seed of the dither.

    Returns
    -------
    integers : ndarray of the image's shape
    n_clipped : int
        Pixels not missing whose value lies outside the range of the integers.
    """
    limits, rng = np.iinfo(dtype), np.random.default_rng(random_state)
    integers: np.ndarray = np.empty(image.shape, dtype)
    n_clipped = 0
    for start in range(0, len(image), _ROWS_AT_ONCE):
        part = image[start : start + _ROWS_AT_ONCE]
        missing = np.isnan(part)
        if missing_values is not None:
            missing |= part == missing_values
        band = part.astype(float) * scale + pedestal
        n_clipped += int((((band < limits.min - 0.5) | (band >= limits.max + 0.5)) & ~missing).sum())
        band += rng.triangular(-1, 0, 1, band.shape)
        band[missing] = 0
        integers[start : start + _ROWS_AT_ONCE] = np.clip(np.rint(band), limits.min, limits.max)
    return integers, n_clipped
