"""Polyharmonic splines: kernel, polynomial tail, bending energy, orthonormal basis, evaluation.

A polyharmonic spline of order k in d dimensions is

    f(p) = sum_i w_i phi_k(|p - c_i|) + sum_j v_j t_j(p)

with phi_k(r) = r^k (k odd) or r^k log r (k even) and the monomials t_j up to a total degree. With the side
conditions sum_i w_i t_j(c_i) = 0 the form s w'Kw (s = +1 or -1 by the order) is non-negative and zero on the
tail only [1]_, [2]_: the bending energy.

References
----------
.. [1] J. Duchon, "Splines minimizing rotation-invariant semi-norms in Sobolev spaces", Lecture Notes in
   Mathematics 571, 1977.
.. [2] H. Wendland, "Scattered Data Approximation", Cambridge University Press, 2004, theorems 8.16 and 8.17.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# Rows of a design matrix made at once: its float64 kernel values (times 64 points) then stay in the cache.
_ROWS_AT_ONCE = 2048
# Directions of the spline space that the sample of pixels cannot tell from zero (relative singular value).
_RANK_TOLERANCE = 1e-10


def minimum_degree(order: int) -> int:
    """Return the smallest degree of the polynomial tail for which the bending energy is non-negative.

    A tail of at least degree 1 is always taken, as published: the sky's gradient is free of charge.
    """
    return max(1, order // 2)


def tail_degree(order: int, degree: int | None) -> int:
    """Return the degree of the tail that a user asked for, or the smallest that will do.

    Raises
    ------
    ValueError
        If the bending energy of the order is not one with a tail of that degree.
    """
    if degree is None:
        return minimum_degree(order)
    if degree < order // 2:
        raise ValueError(
            f"The 'degree' parameter must be at least {order // 2} for order {order}. Got {degree} instead."
        )
    return degree


def kernel(squared_distance: Tensor, order: int) -> Tensor:
    """Return phi(r) = r^order (odd) or r^order log r (even), from r squared.

    Parameters
    ----------
    squared_distance : Tensor
        r**2, any shape, non-negative.
    order : int
        1, 2 (thin plate), 3, ...
    """
    if order % 2:
        return squared_distance.sqrt() * squared_distance ** (order // 2)
    tiny = torch.finfo(squared_distance.dtype).tiny
    return 0.5 * squared_distance ** (order // 2) * squared_distance.clamp_min(tiny).log()


def kernel_slope(squared_distance: Tensor, order: int) -> Tensor:
    """Return phi'(r) / r, from r squared: the gradient of phi(|p - c|) is this times p - c.

    Singular at r = 0 for orders 1 and 2; a distance of 1e-6 stands for smaller ones.
    """
    squared = squared_distance.clamp_min(1e-12)
    power = squared ** (order / 2 - 1)
    return order * power if order % 2 else power * (0.5 * order * squared.log() + 1)


def squared_distances(points: Tensor, centres: Tensor) -> Tensor:
    """Return |p - c|**2 for all pairs, shape (n_points, n_centres), without cancellation."""
    total = (points[:, None, 0] - centres[None, :, 0]) ** 2
    for axis in range(1, points.shape[1]):
        total += (points[:, None, axis] - centres[None, :, axis]) ** 2
    return total


def monomials(points: Tensor, degree: int) -> Tensor:
    """Return all monomials of the coordinates up to a total degree, shape (n_points, n_monomials)."""
    columns = [torch.ones_like(points[:, 0])]
    for total in range(1, degree + 1):
        for axes in itertools.combinations_with_replacement(range(points.shape[1]), total):
            columns.append(points[:, list(axes)].prod(dim=1))
    return torch.stack(columns, dim=1)


def energy_sign(order: int) -> int:
    """Return s such that s w'Kw >= 0 under the side conditions: (-1)**(order // 2 + 1)."""
    return -1 if (order // 2) % 2 == 0 else 1


@dataclass(frozen=True)
class Spline:
    """A spline in the plain form: control points c, kernel weights w, tail coefficients v.

    Attributes
    ----------
    centres : Tensor of shape (n_control_points, d)
    kernel_coef : Tensor of shape (n_control_points, n_outputs)
    tail_coef : Tensor of shape (n_monomials, n_outputs)
    order, degree : int
    """

    centres: Tensor
    kernel_coef: Tensor
    tail_coef: Tensor
    order: int
    degree: int

    @classmethod
    def from_numpy(
        cls, centres: np.ndarray, kernel_coef: np.ndarray, tail_coef: np.ndarray, order: int, degree: int
    ) -> Spline:
        """Make a spline of arrays, on the CPU."""
        c, w, v = (torch.from_numpy(np.ascontiguousarray(part)) for part in (centres, kernel_coef, tail_coef))
        return cls(c, w, v, order, degree)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Spline:
        """Return the spline on a device, in a dtype."""
        c, w, v = (part.to(device, dtype) for part in (self.centres, self.kernel_coef, self.tail_coef))
        return Spline(c, w, v, self.order, self.degree)

    def __call__(self, points: Tensor) -> Tensor:
        """Return the values at the points, shape (n_points, n_outputs), row band by row band."""
        bands = [self._values(band) for band in points.split(_ROWS_AT_ONCE)]
        return torch.cat(bands) if len(bands) > 1 else bands[0]

    def _values(self, points: Tensor) -> Tensor:
        phi = kernel(squared_distances(points, self.centres), self.order)
        return phi @ self.kernel_coef + monomials(points, self.degree) @ self.tail_coef

    def bending_energy(self) -> Tensor:
        """Return s w'Kw for each output (meaningful under the side conditions only)."""
        gram = kernel(squared_distances(self.centres, self.centres), self.order)
        return energy_sign(self.order) * (self.kernel_coef * (gram @ self.kernel_coef)).sum(dim=0)


@dataclass(frozen=True)
class SplineBasis:
    """Orthonormal functions that span the splines on given control points, sorted from smooth to bent.

    The first ``n_tail`` functions span the polynomial tail and bend at no cost. All are orthonormal over the
    points that the basis was made from (mean of products = identity) and over the bending energy (which is
    ``sum_j energies_j q_j**2``): the basis of Demmler and Reinsch, in which a smoothing problem with equal
    weights is diagonal and a weighted one well conditioned even in float32.

    Attributes
    ----------
    centres : Tensor of shape (n_control_points, d)
    order, degree : int
    kernel_map : Tensor of shape (n_control_points, n_functions)
    tail_map : Tensor of shape (n_monomials, n_functions)
        The plain coefficients of each function.
    energies : Tensor of shape (n_functions,)
    """

    centres: Tensor
    order: int
    degree: int
    kernel_map: Tensor
    tail_map: Tensor
    energies: Tensor

    @property
    def n_functions(self) -> int:
        """Dimension of the spline space."""
        return self.energies.numel()

    def design(self, points: Tensor) -> Tensor:
        """Return the basis functions at the points, float64, shape (n_points, n_functions)."""
        return self._as_spline(self.kernel_map, self.tail_map)(points)

    def spline(self, coef: Tensor) -> Spline:
        """Return the spline with these coefficients in the basis, shape (n_functions, n_outputs)."""
        coef = coef.to(self.kernel_map)
        return self._as_spline(self.kernel_map @ coef, self.tail_map @ coef)

    def _as_spline(self, kernel_coef: Tensor, tail_coef: Tensor) -> Spline:
        return Spline(self.centres, kernel_coef, tail_coef, self.order, self.degree)


def spline_basis(centres: Tensor, points: Tensor, order: int, degree: int) -> SplineBasis:
    """Make the orthonormal basis of the splines on the control points over a sample of points.

    Parameters
    ----------
    centres : Tensor of shape (n_control_points, d), float64
    points : Tensor of shape (n_points, d), float64
        Where the spline will be fitted, or a sample of it.
    order, degree : int
        Of the kernel and of the polynomial tail, ``degree >= minimum_degree(order)`` or the energy is no energy.
    """
    scale = points.shape[0] ** -0.5
    tail = monomials(points, degree) * scale
    tail_q, tail_s, tail_vt = _truncated_svd(tail)
    tail_map = tail_vt.T / tail_s
    side = monomials(centres, degree)
    null = _null_space(side)
    gram = kernel(squared_distances(centres, centres), order)
    bands = [kernel(squared_distances(band, centres), order) for band in points.split(_ROWS_AT_ONCE)]
    values = torch.cat(bands) * scale
    size = torch.linalg.norm(values)
    bent = values @ null
    overlap = tail_q.T @ bent
    bent -= tail_q @ overlap
    _, singular, rows = _truncated_svd(bent, size)
    weights = null @ (rows.T / singular)
    energy_form = energy_sign(order) * (weights.T @ gram @ weights)
    energies, turn = torch.linalg.eigh(0.5 * (energy_form + energy_form.T))
    kernel_map = weights @ turn
    bent_tail = -tail_map @ (overlap @ (rows.T / singular) @ turn)
    n_tail = tail_map.shape[1]
    return SplineBasis(
        centres=centres,
        order=order,
        degree=degree,
        kernel_map=torch.cat([kernel_map.new_zeros(len(centres), n_tail), kernel_map], dim=1),
        tail_map=torch.cat([tail_map, bent_tail], dim=1),
        energies=torch.cat([energies.new_zeros(n_tail), energies.clamp_min(0)]),
    )


def _truncated_svd(matrix: Tensor, size: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Return the thin SVD without the directions that are numerically nothing beside a size (the largest of them).

    Through the R of a QR: the matrices here are tall, and the QR costs a fraction of their SVD.
    """
    if 0 in matrix.shape:
        k = 0
        return matrix.new_zeros(matrix.shape[0], k), matrix.new_zeros(k), matrix.new_zeros(k, matrix.shape[1])
    q, r = torch.linalg.qr(matrix)
    u, s, vt = torch.linalg.svd(r, full_matrices=False)
    keep = s > _RANK_TOLERANCE * (s[0] if size is None else size)
    return q @ u[:, keep], s[keep], vt[keep]


def _null_space(side: Tensor) -> Tensor:
    """Return an orthonormal basis of the kernel weights that meet the side conditions, side.T @ w = 0."""
    u, s, _ = torch.linalg.svd(side, full_matrices=True)
    return u[:, int((s > _RANK_TOLERANCE * s[0]).sum()) :]
