"""Raw frames of colour cameras: the four colour planes of a Bayer mosaic, and back."""

from __future__ import annotations

import numpy as np

_PLANES = ((0, 0), (0, 1), (1, 0), (1, 1))


def check_mosaic(shape: tuple[int, ...], pattern: str) -> None:
    """Refuse mosaics that do not fall into four planes of one size."""
    if len(pattern) != 4:
        raise ValueError(
            f"skbgopt splits raw mosaics of 2 x 2 Bayer patterns only, this one is {pattern[:40]!r}: "
            "debayer the image first."
        )
    if shape[0] % 2 or shape[1] % 2:
        raise ValueError(
            f"A raw Bayer mosaic is split into four colour planes, which needs an even height and width, "
            f"got {shape[0]} x {shape[1]}: cut off a row or column, or debayer the image first."
        )


def split_mosaic(mosaic: np.ndarray) -> np.ndarray:
    """Return the four planes, shape (height / 2, width / 2, 4)."""
    return np.stack([mosaic[row::2, column::2] for row, column in _PLANES], axis=2)


def join_mosaic(planes: np.ndarray) -> np.ndarray:
    """Return the mosaic of four planes: the inverse of `split_mosaic`."""
    height, width, _ = planes.shape
    mosaic = np.empty((2 * height, 2 * width), dtype=planes.dtype)
    for plane, (row, column) in enumerate(_PLANES):
        mosaic[row::2, column::2] = planes[:, :, plane]
    return mosaic
