"""How a background is taken out of an image, and put back, band by band."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ._validation import missing_values_of, work_dtype
from .lattice import Lattice

# (image band, what the background does there, where the result goes)
_Operation = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def correct_image(
    image: np.ndarray,
    lattice: Lattice,
    background_level: np.ndarray,
    out: np.ndarray,
    *,
    kind: str,
    level: str,
    inverse: bool,
    missing_values: float | None,
) -> None:
    """Take a background out of an image, or put it back; missing values come back as they are.

    Parameters
    ----------
    image : ndarray of shape (height, width, n_channels)
    lattice : Lattice
        Of the background.
    background_level : ndarray of shape (n_channels,)
        The background's median.
    out : ndarray of the image's shape, float
        Where the result goes; may be the image itself.
    kind : {"subtract", "divide"}
        image - background, or image / (background / its level).
    level : {"median", "zero"}
        Whether the background's level stays in the result.
    inverse : bool
        Put the background back.
    missing_values : float or None

    Raises
    ------
    ValueError
        If the background changes sign and is to be divided by.
    """
    if kind == "divide":
        lattice = lattice.scaled(1 / background_level)
        _check_one_sign(lattice)
        offset, operation = lattice.level, _division(0.0 if level == "median" else background_level, inverse)
    else:
        offset = lattice.level - (background_level if level == "median" else 0.0)
        operation = _addition if inverse else _subtraction

    def correct_band(rows: slice, background: np.ndarray) -> None:
        missing = missing_values_of(image[rows], missing_values)
        operation(image[rows], background, out[rows])
        for where, values in missing:
            out[rows][where] = values

    lattice.each_band(work_dtype(image.dtype), offset, correct_band)


def _addition(band: np.ndarray, background: np.ndarray, out: np.ndarray) -> None:
    np.add(band, background, out=out, casting="same_kind")


def _subtraction(band: np.ndarray, background: np.ndarray, out: np.ndarray) -> None:
    np.subtract(band, background, out=out, casting="same_kind")


def _division(removed: np.ndarray | float, inverse: bool) -> _Operation:
    def divide(band: np.ndarray, ratio: np.ndarray, out: np.ndarray) -> None:
        out[...] = (band + removed) * ratio if inverse else band / ratio - removed

    return divide


def _check_one_sign(ratio: Lattice) -> None:
    """Look at the whole background before anything is written over."""
    lowest: list[float] = []
    ratio.each_band(np.float32, ratio.level, lambda _, band: lowest.append(float(band.min())))
    if not min(lowest) > 0:
        raise ValueError(
            "correction='divide' needs a background that is positive (or negative) everywhere, but this one "
            "changes sign: use correction='subtract'."
        )
