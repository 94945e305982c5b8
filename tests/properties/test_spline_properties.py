"""Properties of splines, control points and the choice of points."""

from unittest import mock

import numpy as np
import torch
from hypothesis import example, given, target
from hypothesis import strategies as st

from skbgopt import splines
from skbgopt.adam import interpolate
from skbgopt.control_points import grid_control_points, random_control_points
from skbgopt.splines import (
    _null_space,
    energy_sign,
    kernel,
    kernel_slope,
    minimum_degree,
    monomials,
    spline_basis,
    squared_distances,
)
from tests.properties.strategies import boxes, generator, oblong_boxes, orders, scattered_points, seeds


def sorted_rows(points):
    """Return the points in an order that does not depend on where they came from."""
    rounded = np.round(points, 9) + 0.0
    return rounded[np.lexsort(rounded.T)]


@given(scattered_points(), orders, seeds)
def test_the_bending_energy_is_not_negative(centres, order, seed):
    """Under the side conditions s w'Kw >= 0 for every weight vector."""
    null = _null_space(monomials(centres, minimum_degree(order)))
    w = null @ torch.from_numpy(generator(seed).normal(size=null.shape[1]))
    gram = kernel(squared_distances(centres, centres), order)
    energy = energy_sign(order) * (w @ gram @ w).item()
    rounding = len(centres) * torch.finfo(gram.dtype).eps * gram.abs().max().item() * (w @ w).item()
    assert energy >= -rounding


@given(scattered_points(), orders)
def test_the_bending_energy_is_semidefinite(centres, order):
    """The smallest eigenvalue of the energy under the side conditions is not below its rounding."""
    null = _null_space(monomials(centres, minimum_degree(order)))
    gram = kernel(squared_distances(centres, centres), order)
    eigenvalues = torch.linalg.eigvalsh(energy_sign(order) * null.T @ gram @ null)
    assert eigenvalues.min() > -len(centres) * torch.finfo(gram.dtype).eps * gram.abs().max()


@given(scattered_points(4, 40), orders, seeds)
def test_polynomials_lie_in_the_spline_space_and_cost_nothing(centres, order, seed):
    """Projecting any polynomial of the tail's degree on the basis gives it back, without bending."""
    rng = generator(seed)
    points = torch.from_numpy(rng.uniform(-1, 1, (200, 2)))
    degree = minimum_degree(order)
    tail = monomials(points, degree)
    polynomial = tail @ torch.from_numpy(rng.normal(size=(tail.shape[1], 1)))
    basis = spline_basis(centres, points, order, degree)
    design = basis.design(points)
    coef = design.T @ polynomial / len(points)
    torch.testing.assert_close(design @ coef, polynomial, rtol=1e-7, atol=1e-7)
    bent = basis.energies > 0
    assert coef[bent].abs().max() < 1e-6 if bent.any() else True


@given(scattered_points(8, 30), st.integers(1, 4), seeds)
def test_interpolation_without_regularisation_meets_the_values(centres, order, seed):
    """The spline through values at its control points has these values there."""
    values = torch.from_numpy(generator(seed).normal(size=(len(centres), 2)))
    spline = interpolate(centres, values, order, minimum_degree(order), regularisation=0.0)
    gram = kernel(squared_distances(centres, centres), order)
    error = (spline(centres) - values).abs().max().item()
    target(error)
    # The pseudo-inverse drops what its own tolerance calls zero; nearest neighbours set the condition.
    closest = squared_distances(centres, centres).fill_diagonal_(9).min().sqrt().item()
    assert error < 1e-8 * max(1.0, closest ** -(order + 1)) * (1 + gram.abs().max().item())


@given(scattered_points(8, 30), orders, seeds)
def test_basis_functions_do_not_depend_on_the_order_of_the_points(centres, order, seed):
    """The spline space over permuted points is the same: projections agree."""
    rng = generator(seed)
    points = torch.from_numpy(rng.uniform(-1, 1, (150, 2)))
    values = torch.from_numpy(rng.normal(size=(150, 1)))
    shuffle = torch.from_numpy(rng.permutation(150))
    fits = []
    for some, wanted in ((points, values), (points[shuffle], values[shuffle])):
        design = spline_basis(centres, some, order, minimum_degree(order)).design(some)
        fits.append(design @ (design.T @ wanted) / len(some))
    torch.testing.assert_close(fits[0][shuffle], fits[1], rtol=1e-6, atol=1e-6)


@given(st.integers(1, 200), boxes())
def test_a_grid_has_exactly_the_points_asked_for_inside_the_box(n_points, box):
    """N distinct points, none outside."""
    low, high = box
    points = grid_control_points(n_points, low, high)
    assert points.shape == (n_points, 2)
    assert len(np.unique(points, axis=0)) == n_points
    rounding = 1e-12 * (np.abs(low) + np.abs(high))
    assert (points >= low - rounding).all()
    assert (points <= high + rounding).all()


@given(st.integers(1, 200), oblong_boxes())
def test_a_grid_is_symmetric_under_both_flips(n_points, box):
    """Flipping either axis gives the same set of points."""
    points = grid_control_points(n_points, *box)
    for flip in ([-1, 1], [1, -1]):
        np.testing.assert_allclose(sorted_rows(points * flip), sorted_rows(points), atol=1e-8)


@given(st.integers(1, 200), oblong_boxes())
@example(30, (np.array([-1.0, -1.01]), np.array([1.0, 1.01])))
def test_the_grid_of_a_transposed_box_is_the_transposed_grid(n_points, box):
    """Exchanging the axes of the box exchanges those of the points (in a square no number allows it)."""
    points = grid_control_points(n_points, *box)
    transposed = grid_control_points(n_points, box[0][::-1], box[1][::-1])
    np.testing.assert_allclose(sorted_rows(transposed[:, ::-1]), sorted_rows(points), atol=1e-8)


@given(st.integers(1, 200), boxes(), st.integers(0, 2**32 - 1))
def test_random_points_lie_in_the_box(n_points, box, seed):
    """As many as asked for, inside, the same for the same seed."""
    low, high = box
    first, again = (random_control_points(n_points, low, high, np.random.RandomState(seed)) for _ in range(2))
    assert first.shape == (n_points, 2)
    assert ((first >= low) & (first <= high)).all()
    np.testing.assert_array_equal(first, again)


@given(st.integers(1, 9), st.floats(1e-3, 4), st.floats(0, 2 * np.pi))
def test_the_slope_of_the_kernel_is_its_finite_difference(order, distance, angle):
    """The gradient of phi(|p|) is phi'(r) / r times p."""
    p = distance * torch.tensor([[np.cos(angle), np.sin(angle)]])
    slope = kernel_slope((p**2).sum(dim=1), order) * p[:, 0]
    step = 1e-6 * distance
    ahead, behind = (kernel(((p + torch.tensor([[s, 0.0]])) ** 2).sum(dim=1), order) for s in (step, -step))
    size = distance ** (order - 1) * (1 + abs(np.log(distance)))
    assert abs(float((ahead - behind) / (2 * step) - slope)) <= 1e-6 * order**2 * size


@given(scattered_points(), orders, seeds)
def test_the_energy_of_a_spline_is_that_of_its_basis(centres, order, seed):
    """s w'Kw is the sum of energies times squared coefficients, and zero on the tail."""
    rng = generator(seed)
    points = torch.from_numpy(rng.uniform(-1, 1, (200, 2)))
    basis = spline_basis(centres, points, order, minimum_degree(order))
    coef = torch.from_numpy(rng.normal(size=(basis.n_functions, 1)))
    expected = (basis.energies[:, None] * coef**2).sum()
    found = basis.spline(coef).bending_energy()[0]
    gram = kernel(squared_distances(centres, centres), order).abs().max()
    size = gram * (basis.kernel_map @ coef).abs().sum() ** 2
    assert abs(found - expected) <= 1e-9 * size + 1e-9 * expected
    tail = coef * (basis.energies[:, None] == 0)
    tail[tail_size(order) :] = 0
    assert basis.spline(tail).bending_energy()[0] == 0


def tail_size(order):
    """Number of monomials of the tail in the plane."""
    return monomials(torch.zeros(1, 2, dtype=torch.float64), minimum_degree(order)).shape[1]


@given(scattered_points(), orders, st.integers(1, 50), seeds)
def test_a_spline_is_the_same_in_bands_of_any_size(centres, order, rows, seed):
    """Each point has the value that it has alone."""
    rng = generator(seed)
    points = torch.from_numpy(rng.uniform(-1, 1, (60, 2)))
    basis = spline_basis(centres, points, order, minimum_degree(order))
    spline = basis.spline(torch.from_numpy(rng.normal(size=(basis.n_functions, 2))))
    expected = spline(points)
    with mock.patch.object(splines, "_ROWS_AT_ONCE", rows):
        found = spline(points)
    size = spline.kernel_coef.abs().sum() * 8 + expected.abs().max()
    assert (found - expected).abs().max() <= 1e-14 * len(centres) * size
