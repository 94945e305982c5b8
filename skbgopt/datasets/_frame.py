"""Coordinates that do not depend on the number of pixels, and maps drawn in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

# Extended light is drawn on at most this many points along the long side and interpolated from there:
# finer texture than 1/768 of a frame is not seen through a seeing disk, and the cost stays fixed.
CANVAS_POINTS = 768
# Points beyond the frame on each side, needed by the four-point spline at the border.
CANVAS_PADDING = 2


@dataclass(frozen=True)
class Frame:
    """A pixel grid; positions are in units of the long side, (0, 0) is the centre of the frame."""

    height: int
    width: int

    @property
    def long_side(self) -> int:
        return max(self.height, self.width)

    @property
    def half_height(self) -> float:
        return 0.5 * self.height / self.long_side

    @property
    def half_width(self) -> float:
        return 0.5 * self.width / self.long_side

    @property
    def half_diagonal(self) -> float:
        return float(np.hypot(self.half_height, self.half_width))

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the pixel centres: y as a column, x as a row."""
        y = (np.arange(self.height) + 0.5) / self.long_side - self.half_height
        x = (np.arange(self.width) + 0.5) / self.long_side - self.half_width
        return y[:, None], x[None, :]


@dataclass(frozen=True)
class Canvas:
    """The coarser grid on which extended light is drawn before it is interpolated to the pixels."""

    frame: Frame

    @property
    def points(self) -> int:
        """Number of canvas points along the long side of the frame."""
        return min(CANVAS_POINTS, self.frame.long_side)

    @property
    def shape(self) -> tuple[int, int]:
        n_rows = int(np.ceil(2 * self.frame.half_height * self.points)) + 2 * CANVAS_PADDING
        n_cols = int(np.ceil(2 * self.frame.half_width * self.points)) + 2 * CANVAS_PADDING
        return n_rows, n_cols

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the canvas points in the frame's coordinates: y as a column, x as a row."""
        n_rows, n_cols = self.shape
        y = (np.arange(n_rows) - (n_rows - 1) / 2) / self.points
        x = (np.arange(n_cols) - (n_cols - 1) / 2) / self.points
        return y[:, None], x[None, :]

    def to_pixels(self, drawing: np.ndarray) -> np.ndarray:
        """Interpolate a canvas to the pixels; a drawing that is nowhere negative stays so.

        The B-spline is used without its prefilter: it blurs by less than a canvas point, whereas an
        interpolating one would ring below zero around bright cores.
        """
        y, x = self.frame.axes()
        n_rows, n_cols = self.shape
        along_y = bspline_matrix(y.ravel() * self.points + (n_rows - 1) / 2, n_rows)
        along_x = bspline_matrix(x.ravel() * self.points + (n_cols - 1) / 2, n_cols)
        return np.ascontiguousarray((along_x @ (along_y @ drawing.astype(np.float32)).T).T)


def bspline_matrix(positions: np.ndarray, n_nodes: int) -> sparse.csr_matrix:
    """Values at `positions` of the uniform cubic B-splines centred on the nodes 0, 1, ..., n_nodes - 1."""
    positions = np.clip(positions, 1.0, n_nodes - 2.0 - 1e-6)
    first = np.floor(positions).astype(np.int64)
    t = positions - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1)
    columns = first[:, None] + np.arange(-1, 3)
    row_starts = np.arange(0, 4 * len(positions) + 1, 4)
    values = (weights / 6).astype(np.float32)
    return sparse.csr_matrix((values.ravel(), columns.ravel(), row_starts), shape=(len(positions), n_nodes))


def channel_mixing(n_channels: int) -> np.ndarray:
    """Matrix (3, n_channels) that turns a colour (red, green, blue) into values of the channels.

    One channel sees the mean of the three; other numbers sample the colour evenly from red to blue.
    """
    if n_channels == 1:
        return np.full((3, 1), 1 / 3)
    positions = np.linspace(0, 2, n_channels)
    return np.maximum(0, 1 - np.abs(np.arange(3)[:, None] - positions[None, :]))
