"""How a background is taken out of an image, and put back, band by band."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._validation import keep_missing, work_dtype
from .lattice import Lattice

# (image band, background band less the lattice level, where the result goes)
BandCorrection = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def correct_image(
    image: np.ndarray, lattice: Lattice, correct: BandCorrection, missing_values: float | None
) -> np.ndarray:
    """Correct an image of shape (height, width, n_channels) band by band; missing values come back as they are."""
    dtype = work_dtype(image.dtype)
    corrected: np.ndarray = np.empty(image.shape, dtype=dtype)
    for rows, deviation in lattice.bands(dtype):
        correct(image[rows], deviation, corrected[rows])
        keep_missing(image[rows], missing_values, corrected[rows])
    return corrected


def correction(
    kind: str, level: str, lattice_level: np.ndarray, background_level: np.ndarray, inverse: bool
) -> BandCorrection:
    """Return the function that corrects one band.

    Parameters
    ----------
    kind : {"subtract", "divide"}
        image - background, or image / (background / its level).
    level : {"median", "zero"}
        Whether the background's level stays in the result.
    lattice_level : ndarray of shape (n_channels,)
        What the bands' deviations are measured from.
    background_level : ndarray of shape (n_channels,)
        The background's median.
    inverse : bool
        Put the background back.
    """
    if kind == "divide":
        return _division(level, lattice_level, background_level, inverse)
    kept = background_level if level == "median" else 0.0
    offset = lattice_level - kept
    sign = np.add if inverse else np.subtract

    def subtract(band, deviation, out):
        sign(band, deviation + offset.astype(out.dtype), out=out, casting="same_kind")

    return subtract


def _division(level, lattice_level, background_level, inverse):
    removed = 0.0 if level == "median" else background_level

    def divide(band, deviation, out):
        ratio = (deviation + lattice_level) / background_level
        if not ratio.min() > 0:
            raise ValueError(
                "correction='divide' needs a background that is positive (or negative) everywhere, but this one "
                "changes sign: use correction='subtract'."
            )
        out[...] = (band + removed) * ratio if inverse else band / ratio - removed

    return divide
