"""A smooth model on every pixel: exact on a lattice of every 16th pixel, cubic in between.

The interpolation is separable: four lattice rows give a row, then one matrix product gives all pixels of a group
of cells at once. A kernel evaluated on every pixel costs 60 times as much.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ._threads import thread_map

# Pixels between lattice nodes to begin with; halved until the error is below the tolerance.
_STEP = 16
# Error allowed, as a share of the model's range.
TOLERANCE = 1e-6
# Cells that one matrix product interpolates along a row: a wider one wastes products with zeros, a narrower one
# is bound by memory.
_CELLS_PER_GROUP = 8
# Bytes of a band, to stay in the cache.
_BAND_BYTES = 1 << 22

Model = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Lattice:
    """Deviations of a model from one level a channel, on nodes, ready to be interpolated.

    Attributes
    ----------
    nodes : ndarray of shape (n_node_rows, n_node_columns, n_channels)
        The model minus the level. Node k lies at pixel (k - 1) * step.
    level : ndarray of shape (n_channels,), float64
    step : int
    shape : (int, int)
        Height and width of the image.
    """

    nodes: np.ndarray
    level: np.ndarray
    step: int
    shape: tuple[int, int]

    def scaled(self, factor: np.ndarray) -> Lattice:
        """Return the lattice of the model times a factor for each channel."""
        return replace(self, nodes=self.nodes * factor, level=self.level * factor)

    def each_band(self, dtype: type, offset: np.ndarray, use: Callable[[slice, np.ndarray], object]) -> None:
        """Call a function with the rows of each band and the deviations plus an offset there, on all cores.

        The deviations have the shape (n_rows, width, n_channels) and may be written over.
        """
        height, width = self.shape
        n_channels = self.nodes.shape[2]
        rows_at_once = max(1, _BAND_BYTES // (width * n_channels * np.dtype(dtype).itemsize))
        nodes: np.ndarray = self.nodes.astype(dtype)
        spread: np.ndarray = self._row_matrix().astype(dtype)
        # One long row: numpy broadcasts an axis of three channels ten times slower.
        offsets: np.ndarray = np.tile(np.broadcast_to(offset, n_channels).astype(dtype), width)

        def render(start: int) -> None:
            rows = np.arange(start, min(start + rows_at_once, height))
            values = self._interpolate(rows, nodes, spread)
            values += offsets
            use(slice(start, start + len(rows)), values.reshape(len(rows), width, n_channels))

        thread_map(render, range(0, height, rows_at_once))

    def render(self, dtype: type) -> np.ndarray:
        """Return the model on every pixel, shape (height, width, n_channels)."""
        image: np.ndarray = np.empty((*self.shape, self.nodes.shape[2]), dtype=dtype)
        self.render_into(image, dtype)
        return image

    def render_into(self, image: np.ndarray, dtype: type) -> None:
        """Write the model, computed in a dtype, into an array of shape (height, width, n_channels)."""
        self.each_band(dtype, self.level, lambda rows, values: np.copyto(image[rows], values, casting="same_kind"))

    def _interpolate(self, rows: np.ndarray, nodes: np.ndarray, spread: np.ndarray) -> np.ndarray:
        n_channels = nodes.shape[2]
        cell, phase = np.divmod(rows, self.step)
        weights = cubic_weights(phase / self.step).astype(nodes.dtype)
        lines = sum(weights[:, t, None, None] * nodes[cell + t] for t in range(4))
        n_groups = (nodes.shape[1] - 3) // _CELLS_PER_GROUP
        stride = lines.strides
        windows = np.lib.stride_tricks.as_strided(
            lines,
            (len(rows), n_groups, (_CELLS_PER_GROUP + 3) * n_channels),
            (stride[0], _CELLS_PER_GROUP * stride[1], stride[2]),
        )
        return (windows @ spread).reshape(len(rows), -1)[:, : self.shape[1] * n_channels]

    def _row_matrix(self) -> np.ndarray:
        """Return the matrix from the nodes around a group of cells to its pixels, channels interleaved."""
        weights = cubic_weights(np.arange(self.step) / self.step)
        matrix = np.zeros((_CELLS_PER_GROUP + 3, _CELLS_PER_GROUP * self.step))
        for cell in range(_CELLS_PER_GROUP):
            matrix[cell : cell + 4, cell * self.step : (cell + 1) * self.step] = weights.T
        return np.kron(matrix, np.eye(self.nodes.shape[2]))


def evaluate_on_lattice(model: Model, shape: tuple[int, int], tolerance: float = TOLERANCE) -> Lattice:
    """Evaluate a model on the coarsest lattice that is fine enough.

    Parameters
    ----------
    model : callable
        From positions along the rows and columns, in pixels (a pixel's centre is at k + 1/2), to the values at
        all their pairs, shape (n_rows, n_columns, n_channels).
    shape : (int, int)
    tolerance : float, default=1e-6
        The largest difference from the exact values at test pixels, as a share of the model's range. Where a
        kernel has a kink (order 1) this ends at every pixel.
    """
    step = _STEP
    while True:
        lattice = _lattice(model, shape, step)
        if step == 1 or _error(lattice, model) <= tolerance:
            return lattice
        step //= 2


def _lattice(model: Model, shape: tuple[int, int], step: int) -> Lattice:
    cells = [-(-length // step) for length in shape]
    cells[1] = -(-cells[1] // _CELLS_PER_GROUP) * _CELLS_PER_GROUP
    rows, columns = ((np.arange(n + 3) - 1) * step + 0.5 for n in cells)
    values = model(rows, columns)
    level = np.median(values.reshape(-1, values.shape[2]), axis=0)
    return Lattice(values - level, level, step, shape)


def _error(lattice: Lattice, model: Model) -> float:
    """Return the largest error at the middles of cells (where it peaks) over the model's range.

    On rows and columns spread over the image by the golden ratio, so that they fall into all parts of it.
    """
    picked = []
    for length in lattice.shape:
        n_cells = -(-length // lattice.step)
        chosen = np.unique((np.arange(1, 49) * 0.6180339887498949 % 1 * n_cells).astype(int))
        picked.append(np.unique(np.minimum(chosen * lattice.step + lattice.step // 2, length - 1)))
    rows, columns = picked
    exact = model(rows + 0.5, columns + 0.5) - lattice.level
    spread = lattice._row_matrix()
    approximate = lattice._interpolate(rows, lattice.nodes, spread).reshape(len(rows), lattice.shape[1], -1)[:, columns]
    scale = np.maximum(np.ptp(lattice.nodes, axis=(0, 1)), 1e-9 * np.abs(lattice.level))
    error = np.abs(approximate - exact).max(axis=(0, 1))
    return float((error / np.maximum(scale, np.finfo(float).tiny)).max())


def cubic_weights(t: np.ndarray) -> np.ndarray:
    """Return Lagrange's cubic weights of the nodes -1, 0, 1, 2 at t in [0, 1), shape (n, 4)."""
    return np.stack(
        [
            -t * (t - 1) * (t - 2) / 6,
            (t + 1) * (t - 1) * (t - 2) / 2,
            -(t + 1) * t * (t - 2) / 2,
            (t + 1) * t * (t - 1) / 6,
        ],
        axis=-1,
    )
