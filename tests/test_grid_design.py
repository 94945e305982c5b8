"""The basis on a regular grid, without its matrix."""

import numpy as np
import pytest
import torch

from skbgopt.control_points import grid_control_points
from skbgopt.grid_design import GridDesign
from skbgopt.splines import minimum_degree, spline_basis

Y, X = np.linspace(-0.66, 0.66, 140), np.linspace(-1, 1, 210)


def designs(order, n_points, y=Y, x=X):
    """The design of a basis on the grid and its exact matrix."""
    centres = torch.from_numpy(grid_control_points(n_points, np.array([y[0], x[0]]), np.array([y[-1], x[-1]])))
    points = torch.from_numpy(np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2))
    basis = spline_basis(centres, points[::7], order, minimum_degree(order))
    return GridDesign.of(basis, y, x, torch.device("cpu")), basis.design(points)


@pytest.mark.parametrize("n_points", [9, 64])
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_products_are_those_of_the_matrix(order, n_points):
    """Of functions of mean square 1, each is within 2e-4 in the mean square and 5e-3 everywhere."""
    design, exact = designs(order, n_points)
    error = design @ torch.eye(exact.shape[1], device="cpu") - exact
    assert error.square().mean(dim=0).sqrt().max() < 2e-4
    assert error.abs().max() < 5e-3


@pytest.mark.parametrize("order", [1, 4])
def test_the_transposed_is_the_adjoint(order):
    """<A c, v> == <c, A' v>."""
    design, exact = designs(order, 16)
    rng = np.random.default_rng(0)
    coef = torch.from_numpy(rng.normal(size=(exact.shape[1], 2))).float()
    values = torch.from_numpy(rng.normal(size=(exact.shape[0], 2))).float()
    left = ((design @ coef) * values).sum()
    right = (coef * (design.T @ values)).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-4, abs=1e-2)


def test_it_is_small():
    """With 16 control points the nodes are a fraction of the pixels."""
    design, exact = designs(4, 16)
    assert design.nodes.numel() < 0.3 * exact.numel()


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (5, 40)])
def test_short_axes_are_taken_as_they_are(shape):
    """Where nodes would not be fewer, the pixels are the nodes, and the products exact."""
    y, x = (np.linspace(-0.5, 0.5, n) if n > 1 else np.zeros(1) for n in shape)
    design, exact = designs(2, 4, y, x)
    assert (design @ torch.eye(exact.shape[1], device="cpu") - exact).abs().max() < 1e-3


def test_a_strip_is_small():
    """Along a single row of pixels the nodes are a fraction of them too, and no matrix is quadratic in their number."""
    design, exact = designs(4, 16, np.zeros(1), np.linspace(-1, 1, 2000))
    assert design.columns.numel() < 0.2 * 2000**2
    error = design @ torch.eye(exact.shape[1], device="cpu") - exact
    assert error.square().mean(dim=0).sqrt().max() < 2e-4
