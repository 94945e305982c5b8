"""The frame of an image: where its pixels lie in the coordinates of a spline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImageFrame:
    """A frame of so many pixels, its centre at (0, 0), its longer side from -1 to 1.

    Both axes have the same unit, so that a kernel of the distance is isotropic. Pixel k covers [k, k + 1), its
    centre is at k + 1/2.

    Attributes
    ----------
    height, width : int
        Of the image that the spline was fitted to.
    """

    height: int
    width: int

    @property
    def half_extent(self) -> np.ndarray:
        """Half the frame's (height, width) in its own unit."""
        return np.array([self.height, self.width]) / max(self.height, self.width)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Return rows and columns (a pixel's centre is at k) of points in the frame's coordinates."""
        size = np.array([self.height, self.width])
        return (points * size.max() + size) / 2 - 0.5

    def from_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Return the points at rows and columns; the inverse of `to_pixels`."""
        size = np.array([self.height, self.width])
        return (2 * (pixels + 0.5) - size) / size.max()

    def axes(
        self, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the coordinates of positions along each of the two axes.

        Parameters
        ----------
        rows, columns : ndarray
            Positions in pixels from the image's first edge (a pixel's centre is at k + 1/2).
        shape : (int, int), optional
            Size of the image that the positions belong to, if not the frame's: its edges are laid on the frame's.
        """
        height, width = shape or (self.height, self.width)
        half = self.half_extent
        y = (2 * np.asarray(rows, dtype=float) / height - 1) * half[0]
        x = (2 * np.asarray(columns, dtype=float) / width - 1) * half[1]
        return y, x
