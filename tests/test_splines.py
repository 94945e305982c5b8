"""Polyharmonic splines."""

import numpy as np
import pytest
import torch

from skbgopt.splines import (
    Spline,
    energy_sign,
    kernel,
    kernel_slope,
    minimum_degree,
    monomials,
    spline_basis,
    squared_distances,
)

ORDERS = range(1, 7)


def points_at_random(n, seed=0):
    """N points in the square from -1 to 1."""
    return torch.from_numpy(np.random.default_rng(seed).uniform(-1, 1, (n, 2)))


@pytest.mark.parametrize("order", ORDERS)
def test_kernel_is_the_power_or_the_power_times_the_logarithm(order):
    """phi(r) is r^k for odd orders and r^k log r for even ones."""
    r = torch.linspace(0.01, 3, 50, dtype=torch.float64)
    expected = r**order if order % 2 else r**order * r.log()
    torch.testing.assert_close(kernel(r**2, order), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("order", ORDERS)
def test_kernel_vanishes_at_the_control_point(order, dtype):
    """phi(0) = 0 exactly, without NaN from the logarithm."""
    assert kernel(torch.zeros(3, dtype=dtype), order).tolist() == [0, 0, 0]


@pytest.mark.parametrize("order", ORDERS)
def test_kernel_slope_is_the_derivative_over_the_distance(order):
    """The slope agrees with autograd of the kernel."""
    r = torch.linspace(0.05, 2, 40, dtype=torch.float64, requires_grad=True)
    (derivative,) = torch.autograd.grad(kernel(r**2, order).sum(), r)
    torch.testing.assert_close(kernel_slope(r.detach() ** 2, order), derivative / r.detach())


@pytest.mark.parametrize("order", ORDERS)
def test_kernel_slope_is_finite_at_the_control_point(order):
    """The singularity of orders 1 and 2 at r = 0 is cut off."""
    assert torch.isfinite(kernel_slope(torch.zeros(1, dtype=torch.float64), order)).all()


@pytest.mark.parametrize(("order", "degree"), [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (7, 3)])
def test_minimum_degree(order, degree):
    """The tail is affine up to order 3 and holds all degrees up to half the order above."""
    assert minimum_degree(order) == degree


def test_distances_do_not_cancel():
    """Squared distances of far-away neighbours are exact, as |a|^2 - 2 ab + |b|^2 is not."""
    far = torch.tensor([[1e6, 1e6]], dtype=torch.float64)
    near = far + torch.tensor([[1e-3, 0.0]], dtype=torch.float64)
    step = float(near[0, 0] - far[0, 0])
    assert squared_distances(far, near).item() == step**2


@pytest.mark.parametrize(("degree", "n"), [(0, 1), (1, 3), (2, 6), (3, 10)])
def test_monomials_of_a_plane(degree, n):
    """There are (d + 1)(d + 2) / 2 monomials up to degree d, the constant first, then the coordinates."""
    points = points_at_random(20)
    columns = monomials(points, degree)
    assert columns.shape == (20, n)
    assert (columns[:, 0] == 1).all()
    if degree:
        torch.testing.assert_close(columns[:, 1:3], points)
    assert torch.linalg.matrix_rank(columns) == n


@pytest.mark.parametrize("order", ORDERS)
def test_evaluation_is_the_sum_of_kernels_and_tail(order):
    """A spline equals the sum written out point by point."""
    rng = np.random.default_rng(order)
    degree = minimum_degree(order)
    centres, points = points_at_random(5, 1).numpy(), points_at_random(11, 2).numpy()
    n_tail = monomials(torch.from_numpy(points), degree).shape[1]
    w, v = rng.normal(size=(5, 2)), rng.normal(size=(n_tail, 2))
    spline = Spline(*(torch.from_numpy(part) for part in (centres, w, v)), order, degree)
    tail = monomials(torch.from_numpy(points), degree).numpy() @ v
    for p, value, t in zip(points, spline(torch.from_numpy(points)).numpy(), tail, strict=True):
        r = [np.hypot(*(p - c)) for c in centres]
        phi = [d**order * (1 if order % 2 else np.log(d)) for d in r]
        np.testing.assert_allclose(value, phi @ w + t, rtol=1e-12, atol=1e-12)


def test_evaluation_in_bands_is_seamless():
    """More points than a band holds give the values of each point alone."""
    points = points_at_random(20_000)
    spline = Spline(points[:4], torch.ones(4, 1).double(), torch.ones(3, 1).double(), 3, 1)
    chosen = torch.tensor([0, 8191, 8192, 16384, 19_999])
    torch.testing.assert_close(spline(points)[chosen], spline(points[chosen]))


@pytest.mark.parametrize("order", ORDERS)
def test_basis_is_orthonormal_over_its_points(order):
    """The mean of products of basis functions over the points is the identity."""
    points = points_at_random(300)
    basis = spline_basis(points_at_random(20, 5), points, order, minimum_degree(order))
    design = basis.design(points)
    torch.testing.assert_close(
        design.T @ design / len(points),
        torch.eye(basis.n_functions, dtype=torch.float64),
        rtol=0,
        atol=1e-7,
    )


@pytest.mark.parametrize("order", ORDERS)
def test_basis_spans_all_splines(order):
    """With 20 points and an affine tail the space has 20 dimensions, as many as control points."""
    points = points_at_random(300)
    assert spline_basis(points_at_random(20, 5), points, order, minimum_degree(order)).n_functions == 20


@pytest.mark.parametrize("order", ORDERS)
def test_spline_of_coefficients_is_the_design_times_them(order):
    """basis.spline(q)(p) == basis.design(p) @ q, at other points as well."""
    basis = spline_basis(points_at_random(15, 5), points_at_random(200), order, minimum_degree(order))
    coef = torch.from_numpy(np.random.default_rng(0).normal(size=(basis.n_functions, 3)))
    elsewhere = points_at_random(50, 9)
    design = basis.design(elsewhere)
    # Kernel weights are large and cancel: the rounding is that of the largest product.
    torch.testing.assert_close(basis.spline(coef)(elsewhere), design @ coef, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("order", ORDERS)
def test_energies_are_the_bending_energy(order):
    """The sum of energies q^2 equals s w'Kw of the plain kernel weights."""
    centres = points_at_random(15, 5)
    basis = spline_basis(centres, points_at_random(200), order, minimum_degree(order))
    coef = torch.from_numpy(np.random.default_rng(0).normal(size=(basis.n_functions, 1)))
    w = basis.spline(coef).kernel_coef
    gram = kernel(squared_distances(centres, centres), order)
    direct = energy_sign(order) * (w.T @ gram @ w).item()
    assert (basis.energies[:, None] * coef**2).sum().item() == pytest.approx(direct, rel=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_the_tail_bends_at_no_cost(order):
    """The first functions are the polynomials: their energy and kernel weights are zero, all others bend."""
    degree = minimum_degree(order)
    basis = spline_basis(points_at_random(15, 5), points_at_random(200), order, degree)
    n_tail = (degree + 1) * (degree + 2) // 2
    assert (basis.energies[:n_tail] == 0).all()
    assert (basis.kernel_map[:, :n_tail] == 0).all()
    assert (basis.energies[n_tail:] > 0).all()


@pytest.mark.parametrize("order", ORDERS)
def test_kernel_weights_meet_the_side_conditions(order):
    """Every spline of the basis has kernel weights without polynomial moments at the control points."""
    centres, degree = points_at_random(15, 5), minimum_degree(order)
    basis = spline_basis(centres, points_at_random(200), order, degree)
    moments = monomials(centres, degree).T @ basis.kernel_map
    assert moments.abs().max() < 1e-9 * basis.kernel_map.abs().max()


DEGENERATE = {
    "one point": torch.zeros(1, 2).double(),
    "two points": torch.tensor([[0.0, 0.0], [0.5, 0.5]]).double(),
    "all the same": torch.full((9, 2), 0.3).double(),
    "pairs": points_at_random(6, 1).repeat(2, 1),
    "on one line": torch.stack([torch.linspace(-1, 1, 9)] * 2, dim=1).double(),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("centres", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_control_points_give_a_smaller_basis(centres, order):
    """Control points that coincide or stand on a line leave a finite, orthonormal basis with the tail."""
    points = points_at_random(200)
    degree = minimum_degree(order)
    basis = spline_basis(centres, points, order, degree)
    design = basis.design(points)
    identity = torch.eye(basis.n_functions, dtype=torch.float64)
    torch.testing.assert_close(design.T @ design / len(points), identity, rtol=0, atol=1e-5)
    assert basis.n_functions >= monomials(points, degree).shape[1]
    assert torch.isfinite(basis.energies).all()


def test_points_on_one_line_give_a_smaller_tail():
    """Over an image of one row the tail has no slope across it."""
    line = torch.stack([torch.zeros(50), torch.linspace(-1, 1, 50)], dim=1).double()
    basis = spline_basis(line[::10], line, 3, 1)
    assert torch.isfinite(basis.design(line)).all()
    assert (basis.energies == 0).sum() == 2
