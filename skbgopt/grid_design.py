"""The basis of a spline on all pixels of a regular grid, without its matrix.

The functions are smooth between control points: they are evaluated on a lattice a fraction of the points' distance
apart and interpolated by cubics along rows and columns. What would be a matrix of as many rows as pixels becomes
one of as many rows as nodes and two small matrices, and a product with it costs little more than its result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .lattice import cubic_weights
from .splines import SplineBasis

# Nodes between two control points are this over the order: cubics then are within 2e-4 of the functions in the mean
# square. The kernel of order 1 has a kink, and its functions are taken at each pixel.
_NODES = 48
# Nodes evaluated at once, in double precision.
_NODES_AT_ONCE = 2048


@dataclass(frozen=True)
class GridDesign:
    """The matrix of shape (n_rows * n_columns, n_functions) of a basis on a grid; knows products only.

    Attributes
    ----------
    rows : Tensor of shape (n_rows, n_node_rows)
        What each node row counts in each row.
    columns : Tensor of shape (n_columns, n_node_columns)
    nodes : Tensor of shape (n_node_rows * n_node_columns, n_functions)
        The basis at the nodes.
    """

    rows: Tensor
    columns: Tensor
    nodes: Tensor

    @classmethod
    def of(cls, basis: SplineBasis, y: np.ndarray, x: np.ndarray, device: torch.device) -> GridDesign:
        """Make the design of a basis at all pairs of increasing coordinates y and x."""
        n_points, sides = len(basis.centres), (np.ptp(y), np.ptp(x))
        # On a strip the points stand in one row.
        spacing = max((sides[0] * sides[1] / n_points) ** 0.5, max(sides) / n_points)
        step = spacing * basis.order / _NODES if basis.order > 1 else 0.0
        (at_y, rows), (at_x, columns) = (_nodes(axis, step) for axis in (y, x))
        points = np.stack(np.meshgrid(at_y, at_x, indexing="ij"), axis=-1).reshape(-1, 2)
        nodes = torch.cat([basis.design(band).float() for band in torch.from_numpy(points).split(_NODES_AT_ONCE)])
        rows, columns, nodes = (part.to(device, torch.float32) for part in (rows, columns, nodes))
        return cls(rows, columns, nodes)

    @property
    def T(self) -> _Adjoint:
        """The transposed matrix."""
        return _Adjoint(self)

    def __matmul__(self, coef: Tensor) -> Tensor:
        """Return the values on the grid, shape (n_rows * n_columns, n_outputs)."""
        shape = (-1, self.rows.shape[1], self.columns.shape[1])
        values = self.rows @ (self.nodes @ coef).T.reshape(shape) @ self.columns.T
        return values.flatten(1).T


@dataclass(frozen=True)
class _Adjoint:
    design: GridDesign

    def __matmul__(self, values: Tensor) -> Tensor:
        """Return the sums of the products with each function, shape (n_functions, n_outputs)."""
        rows, columns, nodes = self.design.rows, self.design.columns, self.design.nodes
        on_nodes = rows.T @ values.T.reshape(-1, len(rows), len(columns)) @ columns
        return (on_nodes.flatten(1) @ nodes).T


def _nodes(positions: np.ndarray, step: float) -> tuple[np.ndarray, Tensor]:
    """Return nodes a step apart around increasing positions, and the matrix that interpolates to these.

    The positions themselves and no interpolation if the nodes would not be fewer.
    """
    n_cells = int(np.ceil(np.ptp(positions) / step)) if step > 0 else len(positions)
    if n_cells + 3 >= len(positions):
        return positions, torch.from_numpy(np.eye(len(positions)))
    step = np.ptp(positions) / n_cells
    along = (positions - positions[0]) / step
    # The last position ends the last cell.
    cell = np.minimum(along.astype(int), n_cells - 1)
    matrix = np.zeros((len(positions), n_cells + 3))
    np.put_along_axis(matrix, cell[:, None] + np.arange(4), cubic_weights(along - cell), axis=1)
    return positions[0] + (np.arange(n_cells + 3) - 1) * step, torch.from_numpy(matrix)
